"""A guest that runs already is the guest that is wanted only if its volumes are: on libvirt's own test driver."""

from xml.etree import ElementTree

import pytest

from evacuation import messages as m
from evacuation.errors import NobodyWaitsError, SpawnFailedError
from evacuation.model import PowerState
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from tests.integration.hypervisors.worlds import INSTANCE, LibvirtWorld, call, spawn, spec

PORT = 10809


def disk(attachment: str, device: str = "vdb", host: str = "10.0.0.1", port: int = PORT) -> m.GuestDisk:
    target = m.VolumeTarget(host=host, port=port)
    return m.GuestDisk(volume_id=f"volume-{device}", device=device, attachment_id=attachment, target=target)


def guest(*disks: m.GuestDisk, epoch: int = 2) -> m.GuestSpec:
    return spec(epoch).model_copy(update={"disks": disks})


@pytest.fixture
def driver(libvirt_world: LibvirtWorld) -> LibvirtHypervisor:
    return libvirt_world.hypervisor("cmp-1")


def exports(driver: LibvirtHypervisor) -> list[str | None]:
    """Of what runs."""
    return [source.get("name") for source in _sources(driver)]


def servers(driver: LibvirtHypervisor) -> list[tuple[str | None, str | None]]:
    return [(each.get("name"), each.get("port")) for source in _sources(driver) for each in source.findall("host")]


def _sources(driver: LibvirtHypervisor) -> list[ElementTree.Element]:
    live = driver._domains.live_definition(INSTANCE)
    return ElementTree.fromstring(live or "<domain/>").findall("devices/disk/source[@protocol='nbd']")


class Look:
    """Counts the last looks: one before anything that a guest would notice."""

    def __init__(self, *, at_most: int = 9) -> None:
        self.taken = 0
        self._most = at_most

    def __call__(self) -> None:
        self.taken += 1
        if self.taken > self._most:
            raise NobodyWaitsError("the activity is over")


def again(driver: LibvirtHypervisor, wanted: m.GuestSpec, look: Look | None = None) -> Look:
    look = look or Look()
    driver.spawn(wanted, last_look=look, beat=lambda _: None)
    return look


def test_guest_is_kept_when_its_volumes_are_those_that_it_is_to_have(driver: LibvirtHypervisor) -> None:
    wanted = guest(disk("attachment-1"), disk("attachment-2", "vdc"))
    spawn(driver, wanted)
    assert again(driver, wanted).taken == 0
    assert exports(driver) == ["attachment-1", "attachment-2"]


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [
        guest(disk("attachment-3"), disk("attachment-2", "vdc")),
        guest(disk("attachment-1"), disk("attachment-2", "vdc", host="10.0.0.2")),
        guest(disk("attachment-1"), disk("attachment-2", "vdc", port=10810)),
        guest(disk("attachment-1"), disk("attachment-2", "vdc"), disk("attachment-3", "vdd")),
    ],
    ids=["one has another attachment", "another server", "another port", "it lacks one"],
)
def test_guest_is_started_anew_when_a_volume_is_another_one(
    driver: LibvirtHypervisor, wanted: m.GuestSpec, paused: bool
) -> None:
    """It was started from what its epoch was then; that attachment may be dead for ever."""
    spawn(driver, guest(disk("attachment-1"), disk("attachment-2", "vdc")))
    if paused:
        driver.pause(INSTANCE, 2)
    assert again(driver, wanted).taken > 0
    assert exports(driver) == [each.attachment_id for each in wanted.disks]
    assert servers(driver) == [(each.target.host, str(each.target.port)) for each in wanted.disks if each.target]
    assert driver.inventory() == (m.GuestState(instance_id=INSTANCE, epoch=2, power_state=PowerState.RUNNING),)


def test_guest_is_kept_when_it_has_more_than_it_is_to_have(driver: LibvirtHypervisor) -> None:
    """A volume that was unmapped, a CD-ROM, an overlay of a snapshot: nobody took them away."""
    spawn(driver, guest(disk("attachment-1"), disk("attachment-2", "vdc")))
    assert again(driver, guest(disk("attachment-1"))).taken == 0


def test_guest_is_kept_when_nothing_says_where_its_volumes_are(driver: LibvirtHypervisor) -> None:
    wanted = guest(disk("attachment-1"))
    spawn(driver, wanted)
    nowhere = disk("attachment-9").model_copy(update={"target": None})
    assert again(driver, guest(nowhere)).taken == 0


def test_guest_with_another_file_for_its_own_disk_is_kept(driver: LibvirtHypervisor, libvirt_world: LibvirtWorld):
    """Its file may be the overlay of a snapshot: started from the older one it would lose what it wrote since."""
    stored = """<domain type='test'><name>web-01</name><uuid>{id}</uuid><memory>65536</memory><os><type>hvm</type></os>
    <devices><disk type='file' device='disk'><source file='{path}'/><target dev='vda'/></disk></devices></domain>"""
    first, second = (libvirt_world.path / name for name in ("base.raw", "overlay.raw"))
    for path in (first, second):
        path.write_bytes(bytes(512))
    spawn(driver, spec(2).model_copy(update={"definition": stored.format(id=INSTANCE, path=second)}))
    older = spec(2).model_copy(update={"definition": stored.format(id=INSTANCE, path=first)})
    assert again(driver, older).taken == 0
    assert str(second) in (driver._domains.live_definition(INSTANCE) or "")


def test_guest_is_left_as_it_is_when_nobody_waits_for_it_any_more(driver: LibvirtHypervisor) -> None:
    spawn(driver, guest(disk("attachment-1")))
    with pytest.raises(NobodyWaitsError):
        again(driver, guest(disk("attachment-2")), Look(at_most=0))
    assert exports(driver) == ["attachment-1"]


def test_guest_is_not_ended_when_it_is_wanted_stopped(driver: LibvirtHypervisor) -> None:
    spawn(driver, guest(disk("attachment-1")))
    stopped = guest(disk("attachment-2")).model_copy(update={"power_state": PowerState.SHUTDOWN})
    with pytest.raises(SpawnFailedError, match="is wanted shutdown"):
        spawn(driver, stopped)
    assert exports(driver) == ["attachment-1"]


def test_guest_comes_up_when_the_one_who_had_ended_it_died(
    driver: LibvirtHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn(driver, guest(disk("attachment-1")))

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("services.hypervisors.libvirt.guests.LibvirtGuests.create", die)
        spawn(driver, guest(disk("attachment-2")))
    assert [each.power_state for each in driver.inventory()] == [PowerState.SHUTDOWN]
    spawn(driver, guest(disk("attachment-2")))
    assert exports(driver) == ["attachment-2"]


def test_settle_goes_forward_only_with_the_volumes_that_were_connected_for_it(
    driver: LibvirtHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.hypervisors.libvirt.ability.Ability.require_volumes", lambda *_: None)
    about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)

    def connect(*disks: m.GuestDisk) -> None:
        driver.connect_volumes(m.ConnectVolumes(call=about, instance_id=INSTANCE, epoch=2, disks=disks))

    connect(disk("attachment-1"))
    spawn(driver, guest(disk("attachment-1")))
    assert driver.settle(call(2))
    connect(disk("attachment-2"))
    assert not driver.settle(call(2))
    assert driver.inventory() == ()
