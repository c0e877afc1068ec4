"""The storage daemon dies, hangs, or is not there; and whoever acts on it dies at the worst moment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evacuation.errors import MalformedRequestError, StorageNotRevokedError, VolumeImageGoneError, VolumeServiceError
from services.cloud.nbd import StorageService, health, service
from services.cloud.nbd.layout import Layout, make_images
from tests.volumes.ground import Ground
from tests.volumes.test_exports import attached, exported


def pid_of(volumes: Ground) -> int:
    return int(volumes.layout.pid_file.read_text())


def kill(volumes: Ground) -> None:
    os.kill(pid_of(volumes), signal.SIGKILL)
    os.waitpid(pid_of(volumes), 0)


def test_daemon_that_died_is_started_again_with_what_the_store_wants(volumes: Ground) -> None:
    client = volumes.client(volumes.target("root-1"), delay=30)
    assert client.write(0x11) is None
    kill(volumes)
    assert volumes.service.look()
    assert exported(volumes) == attached(volumes)
    assert client.write(0x22) is None, "its guest goes on by itself"


def test_daemon_that_died_does_not_come_back_with_what_was_revoked(volumes: Ground) -> None:
    revoked = volumes.target("root-1").export
    volumes.fence.revoke(volumes.request(), lambda: None)
    kill(volumes)
    assert volumes.service.look()
    assert revoked not in exported(volumes)


def test_daemon_is_found_again_by_another_service(volumes: Ground) -> None:
    before = pid_of(volumes)
    assert StorageService(volumes.exports).look()
    assert pid_of(volumes) == before


def test_calls_fail_and_may_be_repeated_while_the_daemon_is_away(volumes: Ground) -> None:
    evacuation = volumes.ready()
    kill(volumes)
    with pytest.raises(VolumeServiceError) as caught:
        evacuation.detach()
    assert caught.value.retryable and caught.value.remedy
    with pytest.raises(StorageNotRevokedError):
        volumes.fence.revoke(volumes.request("web-02"), lambda: None)
    assert volumes.evidence_of("web-02") == {"power-off"}
    assert volumes.service.look()
    evacuation.detach()
    evacuation.attach()
    assert volumes.fence.revoke(volumes.request("web-02"), lambda: None)
    assert exported(volumes) == {volumes.attachment(name).id for name in ("root-1", "data-1")}


def test_daemon_that_hangs_proves_nothing_and_is_replaced(volumes: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thawed it would serve its old clients again: only when it is dead is it known what it does not export."""
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    monkeypatch.setattr(service, "HUNG", 0.0)
    frozen = pid_of(volumes)
    os.kill(frozen, signal.SIGSTOP)
    with pytest.raises(StorageNotRevokedError):
        volumes.fence.revoke(volumes.request(), lambda: None)
    assert any(volumes.service.look() for _ in range(health.LOOKS + 1))
    assert pid_of(volumes) != frozen
    assert volumes.fence.revoke(volumes.request(), lambda: None)


def test_service_says_why_the_daemon_does_not_start(volumes: Ground, tmp_path: Path) -> None:
    taken = volumes.layout.model_copy(update={"directory": volumes.directory / "other"})
    with pytest.raises(VolumeServiceError, match=r"qemu-storage-daemon ended: .*in use"):
        service.start_daemon(taken)


def test_volume_without_an_image_is_named(volumes: Ground) -> None:
    volumes.exports._create = False
    evacuation = volumes.ready()
    image = volumes.image("root-1")
    evacuation.detach()
    image.rename(image.with_suffix(".away"))
    with pytest.raises(VolumeImageGoneError, match=f"has no image any more .*{image.name}") as caught:
        evacuation.attach()
    assert caught.value.remedy == "restore it"
    image.with_suffix(".away").rename(image)
    evacuation.attach()


def test_images_are_made_once_and_never_over_another(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path, "127.0.0.1:10809")
    assert make_images(layout, {"v-1": 2}) == 1
    image = layout.image("v-1")
    assert image.stat().st_mode & 0o777 == 0o600
    assert image.stat().st_size == 2 << 30 and image.stat().st_blocks * 512 < 1 << 20
    image.write_bytes(b"data")
    assert make_images(layout, {"v-1": 2}) == 0
    assert image.read_bytes() == b"data" and list(image.parent.iterdir()) == [image]


@pytest.mark.parametrize("address", ["10809", "host:", "host:0", "host:port", ":1"])
def test_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(MalformedRequestError, match="not HOST:PORT"):
        Layout.of(tmp_path, address)


def test_directory_that_is_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedRequestError, match="too long"):
        Layout.of(tmp_path / ("x" * 100), "127.0.0.1:10809")


POINTS = [
    "services.cloud.sql.exports.SqlExports.release",
    "services.cloud.sql.exports.SqlExports.record_detached",
    "services.cloud.nbd.daemon.Daemon.close_exports",
    "services.cloud.nbd.daemon.Daemon.close_node",
    "services.cloud.nbd.daemon.Daemon.open_export",
    "services.cloud.nbd.daemon.Daemon._open_node",
    "services.cloud.nbd.exports.Exports.apply",
    "services.cloud.sql.volumes.SqlVolumes.delete",
    "services.cloud.sql.volumes.SqlVolumes.complete",
    "services.cloud.sql.volumes.SqlVolumes.reserve",
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: ".".join(point.split(".")[-2:]))
def test_move_of_a_volume_goes_on_from_wherever_it_was_killed(volumes: Ground, point: str, when: str) -> None:
    """Another process does the move and is killed at that point; then the same calls again."""
    evacuation = volumes.ready()
    old = volumes.attachment("root-1").id
    dies(volumes, "move", point, when)
    evacuation.detach()
    evacuation.attach()
    assert exported(volumes) == attached(volumes)
    assert old not in exported(volumes)
    assert evacuation.authorize()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "point",
    [
        "services.cloud.sql.exports.SqlExports.take_away",
        "services.cloud.nbd.daemon.Daemon.close_exports",
        "services.cloud.nbd.exports.Exports.apply",
        "services.cloud.sql.exports.SqlExports.record_revoked",
    ],
    ids=lambda point: ".".join(point.split(".")[-2:]),
)
def test_revocation_goes_on_from_wherever_it_was_killed(volumes: Ground, point: str, when: str) -> None:
    old = volumes.attachment("root-1").id
    dies(volumes, "revoke", point, when)
    assert volumes.fence.revoke(volumes.request(), lambda: None)
    assert old not in exported(volumes)


@pytest.mark.parametrize("work", ["move", "revoke"])
def test_service_makes_good_what_nobody_comes_back_to(
    volumes: Ground, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = volumes.attachment("root-1").id
    if work == "move":
        volumes.ready()
    dies(volumes, work, "services.cloud.nbd.exports.Exports.apply", "before")
    monkeypatch.setattr(service, "EVERY", 0.0)
    assert volumes.service.look()
    assert (old in exported(volumes)) == any(
        each.id == old and each.status == "attached"
        for volume in volumes.services.views.volumes()
        for each in volume.attachments
    )


def dies(volumes: Ground, work: str, point: str, when: str) -> None:
    layout = volumes.layout
    store = f"sqlite:///{volumes.directory / 'store.db'}"
    arguments = [str(layout.directory), f"{layout.host}:{layout.port}", store, work, point, when]
    done = subprocess.run([sys.executable, "-m", "tests.volumes.victim", *arguments], timeout=50)
    assert done.returncode == -signal.SIGKILL
