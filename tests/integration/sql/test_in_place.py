"""An instance that starts or stops where it is: one guest at a time, whoever was left in the middle."""

from collections.abc import Callable

import pytest

from evacuation import messages as m
from evacuation.errors import (
    EvacuationRunningError,
    HostDownError,
    InstanceDeletedError,
    InstanceNotFoundError,
    StaleAttemptError,
)
from evacuation.model import PowerState, VmState
from tests.integration.sql.world import World, evidence


class InPlace:
    """Each method is one call, as a workflow makes it."""

    def __init__(self, world: World, name: str = "web-01", owner: str = "run-1") -> None:
        self.world, self.hosts, self.owner = world, world.services.hosts, owner
        self.plan = self.hosts.plan_in_place(world.id_of(name))
        self.instance_id = world.id_of(name)

    def guest(self, epoch: int) -> m.HostGuest:
        return m.HostGuest(
            host=self.plan.host, incarnation=self.plan.incarnation, instance_id=self.instance_id, epoch=epoch
        )

    def authorize(self, wanted: VmState = VmState.ACTIVE) -> m.GuestSpec:
        guest = self.guest(self.plan.epoch)
        return self.hosts.authorize_in_place(m.AuthorizeInPlace(guest=guest, owner=self.owner, vm_state=wanted))

    def record(self, epoch: int, vm_state: VmState | None = VmState.ACTIVE) -> None:
        power = {VmState.ACTIVE: PowerState.RUNNING, VmState.STOPPED: PowerState.SHUTDOWN, None: PowerState.NOSTATE}
        message = m.RecordInPlace(guest=self.guest(epoch), vm_state=vm_state, power_state=power[vm_state])
        self.hosts.record_in_place(message)


def unproven(world: World, name: str = "web-01") -> list[tuple[str, int]]:
    rows = world.services.views.residences()
    return [(row.host, row.epoch) for row in rows if row.instance == name and row.proof is None]


def state(world: World, name: str = "web-01") -> tuple[str, str | None, str]:
    row = world.instance(name)
    return row.vm_state, row.task_state, row.power_state


def test_start_gives_a_new_epoch_when_the_host_has_destroyed_the_old_guest(world: World) -> None:
    start = InPlace(world, "db-01")
    spec = start.authorize()
    assert (spec.power_state, spec.epoch) == ("running", start.plan.epoch + 1)
    assert unproven(world, "db-01") == [("cmp-1", spec.epoch)]
    assert state(world, "db-01")[:2] == ("stopped", "powering-on")
    start.record(spec.epoch)
    assert state(world, "db-01") == ("active", None, "running")
    proofs = [row.proof for row in world.services.views.residences() if row.instance == "db-01" and row.proof]
    assert proofs[-1].startswith("guest-gone"), "its host's own answer"


def test_stop_is_recorded_when_the_host_has_said_that_the_guest_is_down(world: World) -> None:
    stop = InPlace(world)
    assert state(world)[0] == "active"
    spec = stop.authorize(VmState.STOPPED)
    assert spec.power_state == "shutdown"
    assert state(world) == ("stopped", "powering-off", "shutdown")
    stop.record(spec.epoch, VmState.STOPPED)
    assert state(world) == ("stopped", None, "shutdown")


def test_every_call_has_one_result_when_it_is_repeated(world: World) -> None:
    start = InPlace(world)
    spec = start.authorize()
    once = world.snapshot()
    assert (start.authorize(), world.snapshot()) == (spec, once)
    start.record(spec.epoch)
    once = world.snapshot()
    start.record(spec.epoch)
    assert world.snapshot() == once
    assert {(a.host, a.status) for v in world.services.views.volumes() for a in v.attachments} == {
        ("cmp-1", "attached")
    }
    assert [(port.host, port.status) for port in world.services.views.ports()] == [("cmp-1", "ACTIVE")]


@pytest.mark.parametrize("wanted", [VmState.ACTIVE, VmState.STOPPED])
def test_call_that_comes_after_the_end_was_recorded_leaves_no_task(world: World, wanted: VmState) -> None:
    ended = InPlace(world)
    ended.record(ended.authorize(wanted).epoch, wanted)
    before = world.snapshot()
    with pytest.raises(StaleAttemptError):
        ended.authorize(wanted)
    assert (state(world)[1], world.snapshot()) == (None, before)


def test_start_that_was_left_in_the_middle_is_taken_over_and_its_late_calls_are_refused(world: World) -> None:
    left = InPlace(world)
    spec = left.authorize()
    second = InPlace(world, owner="run-2")
    assert second.plan.residence_epoch == spec.epoch
    newer = second.authorize()
    assert unproven(world) == [("cmp-1", newer.epoch)]
    before = world.snapshot()
    for late in (left.authorize, lambda: left.record(spec.epoch)):
        with pytest.raises(StaleAttemptError):
            late()
    assert world.snapshot() == before
    second.record(newer.epoch)
    assert state(world) == ("active", None, "running")


def test_start_that_was_left_in_the_middle_is_evacuated_like_any_other_guest(world: World) -> None:
    left = InPlace(world)
    spec = left.authorize()
    world.evacuation().recover()
    assert (world.instance().host, len(unproven(world))) == ("cmp-2", 1)
    for late in (left.authorize, lambda: left.record(spec.epoch)):
        with pytest.raises(Exception, match=r"lives on cmp-2|newer guest"):
            late()


def test_start_that_failed_leaves_the_record_as_it_was(world: World) -> None:
    start = InPlace(world, "db-01")
    start.record(start.authorize().epoch, None)
    assert state(world, "db-01") == ("stopped", None, "nostate")


REFUSED: dict[str, tuple[Callable[[World], object], type[Exception]]] = {
    "its host is down": (lambda world: world.fence(), HostDownError),
    "its evacuation is open": (lambda world: world.evacuation().begin(), EvacuationRunningError),
    "it is deleted": (lambda world: world.services.hosts.plan_deletion(world.id_of("web-01")), InstanceNotFoundError),
}


@pytest.mark.parametrize(("before", "error"), REFUSED.values(), ids=list(REFUSED))
def test_start_is_refused_when(world: World, before: Callable[[World], object], error: type[Exception]) -> None:
    before(world)
    with pytest.raises(error):
        InPlace(world)


MEANWHILE: dict[str, tuple[Callable[[World], object], type[Exception]]] = {
    "its host is said to be off": (
        lambda world: world.services.evidence.record_evidence(evidence("cmp-1", "boot-1", "operator")),
        StaleAttemptError,
    ),
    "its host has booted again": (
        lambda world: world.services.hosts.register(world.report("cmp-1", "boot-2")),
        StaleAttemptError,
    ),
    "its evacuation began": (lambda world: world.evacuation().begin(), EvacuationRunningError),
    "it is deleted": (lambda world: world.services.hosts.plan_deletion(world.id_of("web-01")), InstanceDeletedError),
}


@pytest.mark.parametrize(("meanwhile", "error"), MEANWHILE.values(), ids=list(MEANWHILE))
def test_nothing_may_start_when(world: World, meanwhile: Callable[[World], object], error: type[Exception]) -> None:
    start = InPlace(world)
    meanwhile(world)
    before = world.snapshot()
    with pytest.raises(error):
        start.authorize()
    assert world.snapshot() == before
