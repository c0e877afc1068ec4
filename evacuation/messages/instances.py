"""Instances that start, stop, are followed and are deleted where they are."""

from evacuation.ledger import Witness
from evacuation.messages.common import Tuning
from evacuation.messages.hosts import HostGuest, HostReport
from evacuation.messages.probing import ProbeRequest
from evacuation.model import Frozen, PowerState, VmState


class InPlaceInput(Frozen):
    """An instance is to be started, or stopped, on the host that it is on."""

    instance_id: str
    name: str
    tuning: Tuning = Tuning()


class InPlacePlan(Frozen):
    """Where the instance lives, as the store has it. `epoch`: the last that was given; every guest up to it is
    destroyed there before another one may start. `residence_epoch`: of the guest that may be there."""

    host: str
    hypervisor_uuid: str | None
    incarnation: str
    epoch: int
    residence_epoch: int | None
    vm_state: VmState
    busy: bool = False
    """An earlier start or stop was left in the middle."""


class AuthorizeInPlace(Frozen):
    """`guest`: what its host has destroyed, up to that epoch, in that boot. `owner`: the run that asks."""

    guest: HostGuest
    owner: str
    vm_state: VmState
    witnessed: tuple[Witness, ...] = ()


class RecordInPlace(Frozen):
    """The guest of that epoch is as its host says. `vm_state` None: it could not be brought up."""

    guest: HostGuest
    vm_state: VmState | None
    power_state: PowerState


class FollowPlan(Frozen):
    """Where a residence is said to be, and who is asked for its guest."""

    residence: HostGuest
    hosts: tuple[ProbeRequest, ...]


class FollowInstance(Frozen):
    """What every host that answered in the same breath has of one instance. `residence`: as it was before that."""

    residence: HostGuest
    reports: tuple[HostReport, ...]
    who: str


class FollowInput(Frozen):
    """The residence of the instance is to go where its guest went."""

    instance_id: str
    name: str
    who: str
    tuning: Tuning = Tuning()


class DeleteInstanceInput(Frozen):
    """`instance delete` sends it; `name` is only shown."""

    instance_id: str
    name: str
    tuning: Tuning = Tuning()


class DeletionPlan(Frozen):
    """`evacuation_running`: its own workflow cleans up. Else `guest` (if any) is to be destroyed at `call`."""

    evacuation_running: bool
    guest: HostGuest | None
    hypervisor_uuid: str | None


class RecordDeleted(Frozen):
    """`guest`: what its host has destroyed, as the proof of its place. None: nothing was destroyed, its host is
    silent or has none."""

    instance_id: str
    guest: HostGuest | None
