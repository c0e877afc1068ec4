"""What a guest sees of a daemon that dies, and of a volume that is taken away from it, when it waits for its server."""

import time
from pathlib import Path
from uuid import uuid4

from services.cloud.nbd import Exports, Layout, StorageService, service
from services.cloud.sql.exports import WantedExport
from services.hypervisors.libvirt.options import LibvirtOptions
from tests.volumes.ground import Ground, free_address
from tests.volumes.test_daemon import kill
from workers import storage

DELAY = 20
"""As the definitions of guests have it."""
SHORT = 3
EXPORTS = 8.0
"""Seconds that some hundreds of exports take at most; it is two on two cores."""


def test_daemon_that_is_started_again_is_no_error_to_a_guest_that_waits(volumes: Ground) -> None:
    """Written in the midst of the outage: QEMU asks after 0, 1, 3, 7 and 15 s."""
    guest, other = (volumes.client(volumes.target(name), delay=DELAY) for name in ("root-1", "root-2"))
    assert guest.write(0x11) is None and other.write(0x12) is None
    kill(volumes)
    guest.begin(0x22)
    time.sleep(1.5)
    assert guest.is_waiting
    assert volumes.service.look()
    assert guest.end() is None
    assert other.write(0x23) is None, "who was idle has seen nothing"
    assert volumes.on_disk(volumes.attachment("root-1").volume_id) == 0x22


def test_daemon_that_is_started_again_is_an_error_to_a_guest_that_does_not(volumes: Ground) -> None:
    guest = volumes.client(volumes.target("root-1"))
    assert guest.write(0x11) is None
    kill(volumes)
    assert guest.write(0x22)


def test_revoked_guest_waits_for_its_delay_and_no_longer_and_writes_nothing(volumes: Ground) -> None:
    """The evidence does not wait with it."""
    volume = volumes.attachment("root-1").volume_id
    guest = volumes.client(volumes.target("root-1"), delay=SHORT)
    neighbour = volumes.client(volumes.target("root-2"), delay=SHORT)
    assert guest.write(0x11) is None
    volumes.fence.revoke(volumes.request(), lambda: None)
    guest.begin(0x66)
    assert volumes.evidence_of("web-01") == {"storage-revoked"}
    began = time.monotonic()
    assert guest.is_waiting
    assert neighbour.write(0x22) is None
    assert guest.end()
    assert time.monotonic() - began < SHORT + 5
    assert guest.write(0x67), "and it is told at once from then on"
    assert volumes.on_disk(volume) == 0x11


def test_write_that_waited_does_not_land_when_the_volume_was_moved_meanwhile(volumes: Ground) -> None:
    """Taken away, and given to the next host, before the old guest's request is given up."""
    volume = volumes.attachment("root-1").volume_id
    old = volumes.client(volumes.target("root-1"), delay=SHORT + 3)
    assert old.write(0x11) is None
    volumes.fence.revoke(volumes.request(), lambda: None)
    old.begin(0x66)
    evacuation = volumes.ready()
    evacuation.detach()
    evacuation.attach()
    new = volumes.client(volumes.target("root-1"), delay=DELAY)
    assert new.write(0x22) is None
    assert old.end(), "its name is nobody's any more"
    assert volumes.on_disk(volume) == 0x22


def test_write_that_waited_does_not_land_when_its_volume_was_taken_away_during_the_outage(volumes: Ground) -> None:
    """Nobody closes its export: the daemon that had it is dead, and the next one never opens it."""
    volume, waits = volumes.attachment("root-1").volume_id, SHORT + 2
    guest = volumes.client(volumes.target("root-1"), delay=waits)
    assert guest.write(0x11) is None
    kill(volumes)
    guest.begin(0x66)
    volumes.services.exports.take_away(volumes.request())
    assert volumes.service.look()
    assert volumes.fence.revoke(volumes.request(), lambda: None)
    assert guest.end()
    assert volumes.on_disk(volume) == 0x11


def test_delay_covers_the_time_in_which_a_dead_daemon_is_started_again() -> None:
    """QEMU's last attempt within the delay comes after 15 s. A hung daemon breaks no connection before it is killed:
    the delay begins with its end."""
    last = max(each for each in (0, 1, 3, 7, 15, 31) if each < DELAY)
    assert LibvirtOptions(host="cmp-1", state_dir=Path()).reconnect_delay == DELAY
    assert last > storage.POLL + service.START + EXPORTS


class Many:
    """A store that wants as many exports as a daemon has clients."""

    def __init__(self, count: int) -> None:
        self._wanted = tuple(WantedExport(volume_id=str(uuid4()), attachment_id=str(uuid4())) for _ in range(count))

    def wanted(self, volumes: frozenset[str] | None = None) -> tuple[WantedExport, ...]:
        return self._wanted

    def sizes(self) -> dict[str, int]:
        return {each.volume_id: 1 for each in self._wanted}


def test_hundreds_of_exports_are_opened_again_within_the_delay(volumes: Ground) -> None:
    layout = Layout.of(volumes.directory / "many", free_address())
    many = StorageService(Exports(layout, Many(400), create=True))
    try:
        many.look()
        many.stop()
        began = time.monotonic()
        assert many.look()
        assert time.monotonic() - began < EXPORTS
    finally:
        many.stop()
