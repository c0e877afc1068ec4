"""A host acts on no message that was meant for another: asked of every activity that its worker serves."""

from collections.abc import Callable
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.guest import GuestActivities
from activities.volumes import GuestVolumeActivities
from evacuation import messages as m
from evacuation.errors import DestinationUnableError, HostIdentityError
from evacuation.model import Flavor, PowerState, RootDisk
from evacuation.ports import HostIdentity

ME = HostIdentity(hypervisor_uuid="mine", machine_id="machine", incarnation="boot-2")
INSTANCE = "7c9a5e0e-0000-4000-8000-000000000001"
GUEST = m.GuestSpec(
    instance_id=INSTANCE,
    name="web-01",
    epoch=2,
    flavor=Flavor(vcpus=1, memory_mb=512, disk_gb=5),
    root_disk=RootDisk.SHARED,
    power_state=PowerState.RUNNING,
)
MESSAGES: dict[str, Callable[[m.HostCall], Any]] = {
    "prepare_destination": lambda call: m.PrepareDestination(
        call=call, instance_id=INSTANCE, name="web-01", epoch=2, root_disk=RootDisk.SHARED
    ),
    "connect_volumes": lambda call: m.ConnectVolumes(call=call, instance_id=INSTANCE, epoch=2, disks=()),
    "bury_guests": lambda call: m.BuryGuests(call=call, guests=(m.GuestKey(instance_id=INSTANCE, name="", epoch=2),)),
    **dict.fromkeys(("spawn_guest", "start_guest"), lambda call: m.SpawnGuest(call=call, guest=GUEST)),
    **dict.fromkeys(
        ("settle_guest", "destroy_guest", "pause_guest", "disconnect_volumes"),
        lambda call: m.GuestCall(call=call, instance_id=INSTANCE, epoch=2, power_state=PowerState.RUNNING),
    ),
}
BEFORE_ITS_BOOT = {"prepare_destination", "connect_volumes", "bury_guests", "spawn_guest", "start_guest"}
"""What another boot must not do. What undoes, or looks, does so whatever boot it is."""


class Untouched:
    """A hypervisor that only says who it is."""

    def identity(self) -> HostIdentity:
        return ME

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called")


def activities() -> dict[str, Callable[[Any], Any]]:
    hypervisor: Any = Untouched()
    guests, volumes = GuestActivities(hypervisor), GuestVolumeActivities(hypervisor)
    return {each.__name__: each for each in (*guests.all, *guests.for_return, *volumes.all)}


def test_every_activity_of_a_host_is_asked():
    assert activities().keys() == MESSAGES.keys()


@pytest.mark.parametrize("name", MESSAGES)
def test_message_for_another_hypervisor_is_refused_and_touches_nothing(name: str):
    message = MESSAGES[name](m.HostCall(host="cmp-1", hypervisor_uuid="another", incarnation="boot-2"))
    with pytest.raises(HostIdentityError, match="is hypervisor mine, not another"):
        ActivityEnvironment().run(activities()[name], message)


@pytest.mark.parametrize("name", sorted(BEFORE_ITS_BOOT))
def test_message_for_the_boot_before_is_refused_and_touches_nothing(name: str):
    message = MESSAGES[name](m.HostCall(host="cmp-1", hypervisor_uuid="mine", incarnation="boot-1"))
    with pytest.raises(DestinationUnableError, match="booted again"):
        ActivityEnvironment().run(activities()[name], message)


@pytest.mark.parametrize("name", sorted(MESSAGES.keys() - BEFORE_ITS_BOOT))
def test_what_undoes_or_looks_is_done_whatever_boot_it_is(name: str):
    message = MESSAGES[name](m.HostCall(host="cmp-1", hypervisor_uuid="mine", incarnation="boot-1"))
    with pytest.raises(AssertionError, match="was called"):
        ActivityEnvironment().run(activities()[name], message)
