"""The storage daemon dies at each command of a revocation: before it gets it, or having done it and not said so."""

import os
import signal
from typing import Any

import pytest

from evacuation.errors import StorageNotRevokedError, VolumeServiceError
from services.cloud.nbd.qmp import Qmp
from tests.volumes.ground import Ground
from tests.volumes.test_exports import exported

VOLUMES = ("root-1", "data-1")
COMMANDS = (
    "qmp_capabilities",
    "query-block-exports",
    "query-block-exports",
    "block-export-del",
    "block-export-del",
    "query-block-exports",
)
"""Of a revocation of two volumes, until it is read back that nothing is exported; more follow, and close the images."""


class Watch:
    """Notes the commands that the daemon is given, and kills it at one of them."""

    def __init__(self, volumes: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self._volumes = volumes
        self._kill_at = -1
        self._does_it = False
        execute = Qmp.execute
        watch = self

        def watched(link: Qmp, command: str, **arguments: Any) -> Any:
            if not watch.is_next(command):
                return execute(link, command, **arguments)
            if watch._does_it:
                execute(link, command, **arguments)
            watch.kill()
            raise VolumeServiceError("the storage daemon is not reachable")

        monkeypatch.setattr(Qmp, "execute", watched)

    def kill_at(self, number: int, *, does_it: bool) -> None:
        self.seen, self._kill_at, self._does_it = [], number, does_it

    def is_next(self, command: str) -> bool:
        self.seen.append(command)
        return len(self.seen) - 1 == self._kill_at

    def kill(self) -> None:
        pid = int(self._volumes.layout.pid_file.read_text())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def watch(volumes: Ground, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(volumes, monkeypatch)


def test_evidence_is_what_was_read_back(volumes: Ground, watch: Watch) -> None:
    volumes.fence.revoke(volumes.request(), lambda: None)
    assert tuple(watch.seen[: len(COMMANDS)]) == COMMANDS
    assert set(watch.seen[len(COMMANDS) :]) == {"query-named-block-nodes", "query-block-exports", "blockdev-del"}


POINTS = [(number, False) for number in range(len(COMMANDS) + 2)]
POINTS += [(number, True) for number, command in enumerate(COMMANDS) if command == "block-export-del"]


@pytest.mark.parametrize(("number", "does_it"), POINTS)
def test_daemon_that_dies_in_a_revocation_proves_nothing_and_its_successor_exports_nothing_of_it(
    volumes: Ground, watch: Watch, number: int, does_it: bool
) -> None:
    taken = {volumes.target(each).export for each in VOLUMES}
    writers = [volumes.client(volumes.target(each)) for each in VOLUMES]
    assert [each.write(0x11) for each in writers] == [None, None]
    watch.kill_at(number, does_it=does_it)
    with pytest.raises(StorageNotRevokedError) as caught:
        volumes.fence.revoke(volumes.request(), lambda: None)
    assert caught.value.retryable and len(watch.seen) == number + 1
    assert volumes.evidence_of("web-01") == set()
    assert volumes.service.look()
    assert not taken & exported(volumes) and exported(volumes)
    assert all(each.write(0x22) is not None for each in writers), "its guest has nothing left to write to"
    assert volumes.fence.revoke(volumes.request(), lambda: None)
    assert volumes.evidence_of("web-01") == {"storage-revoked"}
