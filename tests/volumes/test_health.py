"""Whether the daemon is healthy, and who says so: one that serves guests is not killed for what somebody else does."""

import errno
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from evacuation.errors import StorageNotRevokedError, VolumeServiceError
from services.cloud.nbd import health, service
from services.cloud.nbd.change_lock import change_lock, holder_of
from services.cloud.nbd.health import Silence, gives_a_sign
from services.runtime.locks import file_lock
from tests.volumes.ground import Ground, free_address
from tests.volumes.holder import frozen_holder
from tests.volumes.test_daemon import kill, pid_of
from tests.volumes.test_exports import attached, exported

ROUNDS = 5
"""More looks than silence needs to be believed."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a long time: silence is believed as soon as it was heard often enough."""
    monkeypatch.setattr(service, "HUNG", 0.0)
    monkeypatch.setattr(service, "EVERY", 0.0)
    monkeypatch.setattr(health, "PATIENCE", 0.3)
    monkeypatch.setattr("services.cloud.nbd.daemon.LOCK_WAIT", 0.1)


@contextmanager
def occupied(path: Path) -> Iterator[None]:
    """Somebody is connected to the monitor there, and says nothing."""
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(path))
        assert other.recv(1)
        yield


@pytest.mark.usefixtures("impatient")
def test_lock_that_is_not_let_go_is_no_silence_and_its_holder_is_named(volumes: Ground) -> None:
    before, guest = pid_of(volumes), volumes.client(volumes.target("root-1"))
    with frozen_holder(volumes.layout) as holder, capture_logs() as logs:
        assert not any(volumes.service.look() for _ in range(ROUNDS))
        assert guest.write(0x11) is None, "no guest notices"
    (told,) = logs
    assert re.search(rf"process {holder.pid} \(holder.py .*\) has held its lock since .*is stopped", told["cause"])
    assert pid_of(volumes) == before
    assert volumes.service.look(), "the lock went with its holder"
    assert holder_of(volumes.layout.lock) is None


@pytest.mark.usefixtures("impatient")
def test_whoever_waits_for_the_lock_in_vain_is_told_who_has_it(volumes: Ground) -> None:
    with frozen_holder(volumes.layout) as holder:
        with pytest.raises(StorageNotRevokedError, match=f"process {holder.pid} ") as caught:
            volumes.fence.revoke(volumes.request(), lambda: None)
        assert f"kill -9 {holder.pid}" in str(caught.value.remedy)
    assert volumes.fence.revoke(volumes.request(), lambda: None)


@pytest.mark.usefixtures("impatient")
def test_daemon_that_dies_while_the_lock_is_held_comes_back_with_its_exports(volumes: Ground) -> None:
    """The holder was about to change the dead one: thawed, it changes nothing of the new one."""
    guest = volumes.client(volumes.target("root-1"), delay=30)
    assert guest.write(0x11) is None
    with frozen_holder(volumes.layout) as holder:
        kill(volumes)
        assert volumes.service.look()
        assert exported(volumes) == attached(volumes)
        os.kill(holder.pid, signal.SIGCONT)
        assert holder.wait(20) != 0
    assert exported(volumes) == attached(volumes)
    assert guest.write(0x22) is None


@pytest.mark.usefixtures("impatient")
def test_daemon_that_hangs_is_replaced_whoever_holds_the_lock(volumes: Ground) -> None:
    before = pid_of(volumes)
    with frozen_holder(volumes.layout):
        os.kill(before, signal.SIGSTOP)
        assert any(volumes.service.look() for _ in range(ROUNDS))
    assert pid_of(volumes) != before and exported(volumes) == attached(volumes)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("monitor", ["socket", "health"])
def test_monitor_that_serves_somebody_else_is_no_silence(volumes: Ground, monitor: str) -> None:
    before = pid_of(volumes)
    with occupied(getattr(volumes.layout, monitor)):
        for _ in range(ROUNDS):
            volumes.service.look()
    assert pid_of(volumes) == before


@pytest.mark.usefixtures("impatient")
def test_daemon_of_an_older_release_is_left_alone_too(volumes: Ground) -> None:
    """It has no monitor for its health."""
    before = pid_of(volumes)
    volumes.layout.health.unlink()
    elsewhere = volumes.layout.model_copy(update={"port": int(free_address().rpartition(":")[2])})
    assert volumes.service.look() and gives_a_sign(elsewhere)
    with frozen_holder(volumes.layout):
        for _ in range(ROUNDS):
            volumes.service.look()
        assert gives_a_sign(elsewhere)
    assert pid_of(volumes) == before


def test_service_that_was_stopped_itself_has_heard_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(health.time, "monotonic", lambda: now)
    silence = Silence()
    assert not silence.went_on(15.0)
    now = 100.0
    assert not silence.went_on(15.0), "it slept in between"
    assert silence.went_on(15.0)
    silence.broken()
    assert not silence.went_on(0.0)


def test_holder_that_goes_on_is_named_without_a_word_about_its_state(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    named = rf"process {os.getpid()} .* UTC$"
    with change_lock(lock, wait=0), pytest.raises(VolumeServiceError, match=named), change_lock(lock, wait=0):
        pass
    with file_lock(lock), pytest.raises(VolumeServiceError, match=r"another change$"), change_lock(lock, wait=0):
        pass


def test_full_disk_keeps_nobody_from_taking_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("services.cloud.nbd.change_lock.os.pwrite", full)
    with change_lock(tmp_path / "lock", wait=0):
        assert holder_of(tmp_path / "lock") is None


def test_lock_of_a_daemon_that_was_replaced_is_nobodys(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with change_lock(lock, wait=0):
        lock.unlink()
        with change_lock(lock, wait=0):
            pass


def test_lock_is_refused_to_who_waited_for_one_that_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    monkeypatch.setattr("services.cloud.nbd.change_lock.os.fstat", lambda fd: tmp_path.stat())
    with pytest.raises(VolumeServiceError, match="replaced meanwhile"), change_lock(lock, wait=0):
        pass
