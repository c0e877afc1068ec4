"""Hosts that die, are fenced, and come back; instances that are deleted."""

import pytest
from sqlmodel import select

from evacuation import messages as m
from evacuation.errors import (
    EvacuationRunningError,
    HostIdentityError,
    HostNotFoundError,
    InstanceDeletedError,
    StaleAttemptError,
)
from evacuation.fleet import Fleet
from evacuation.model import PowerState
from services.sql import SqlServices
from services.sql.tables import EvidenceRow
from tests.integration.sql.world import World, evidence, host


def _guest(world: World, name: str, epoch: int = 1, power: PowerState = PowerState.RUNNING) -> m.GuestState:
    return m.GuestState(instance_id=world.id_of(name), epoch=epoch, power_state=power)


def _names(keys: tuple[m.GuestKey, ...]) -> list[tuple[str, int]]:
    return [(key.name, key.epoch) for key in keys]


def _fence_request(instance_id: str) -> m.FenceRequest:
    return m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=instance_id)


def test_loaded_guests_start_with_their_first_residence_when_the_host_first_registers(world: World) -> None:
    assert world.host("cmp-1").state == "up"
    assert world.instance("web-01").power_state == "running"
    assert world.instance("db-01").power_state == "shutdown"
    assert {(each.epoch, each.incarnation) for each in world.services.views.residences()} == {(1, "boot-1")}


def test_registration_changes_nothing_when_a_worker_restarts_on_a_healthy_host(world: World) -> None:
    before = world.snapshot()
    plan = world.services.hosts.register(world.report("cmp-1"))
    assert (plan.destroy, plan.quarantine, plan.start, plan.held_by) == ((), (), (), ())
    assert world.snapshot() == before


def test_registration_refuses_another_machine_under_a_known_name(world: World) -> None:
    for change in ({"hypervisor_uuid": "other"}, {"machine_id": "other"}):
        with pytest.raises(HostIdentityError):
            world.services.hosts.register(world.report("cmp-1").model_copy(update=change))
    with pytest.raises(HostNotFoundError):
        world.services.hosts.register(world.report("cmp-9"))


def test_new_boot_starts_what_belongs_there_with_a_new_epoch(world: World) -> None:
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert _names(plan.start) == [("web-01", 1), ("web-02", 1), ("db-01", 1)]
    assert world.host("cmp-1").state == "down"
    guest = m.HostGuest(host="cmp-1", incarnation="boot-2", instance_id=world.id_of("web-01"), epoch=1)
    spec = world.services.hosts.authorize_start(guest)
    assert spec.epoch == 2
    assert world.services.hosts.authorize_start(guest) == spec
    assert [disk.device for disk in spec.disks] == ["vdb", "vdc"]
    world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-2"))
    assert world.host("cmp-1").state == "up"


def test_evacuated_guest_is_destroyed_and_its_migration_completed_when_the_source_returns(world: World) -> None:
    world.evacuation().recover()
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert _names(plan.destroy) == [("web-01", 1)]
    assert "web-01" not in [name for name, _ in _names(plan.start)]
    guest = m.HostGuest(host="cmp-1", incarnation="boot-2", instance_id=world.id_of("web-01"), epoch=1)
    for _ in range(2):
        world.services.hosts.record_destroyed(guest)
    assert world.services.views.migrations()[0].status == "completed"
    assert world.services.hosts.register(world.report("cmp-1", "boot-2")).destroy == ()


def test_guest_evacuated_long_ago_is_destroyed_also_while_its_next_evacuation_runs(world: World) -> None:
    world.evacuation().recover()
    world.fence("cmp-2")
    world.evacuation(evacuation_id="ev-2").begin()
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2", (_guest(world, "web-01"),)))
    assert (_names(plan.destroy), plan.quarantine, plan.held_by) == ([("web-01", 1)], (), ())


def test_guest_in_flight_is_quarantined_and_holds_the_host(world: World) -> None:
    world.fence()
    world.evacuation().begin()
    report = world.report("cmp-1", "boot-1", (_guest(world, "web-01"), _guest(world, "web-02")))
    plan = world.services.hosts.register(report)
    assert plan.held_by == ("web-01",)
    assert _names(plan.quarantine) == [("web-01", 1)]
    assert plan.destroy == ()
    assert world.services.evidence.current_evidence("cmp-1", "boot-1") is None
    guest = m.HostGuest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"), epoch=1)
    with pytest.raises(EvacuationRunningError):
        world.services.hosts.authorize_start(guest)


@pytest.mark.parametrize("recorded", [False, True], ids=["the start is not recorded", "the start is recorded"])
def test_destination_that_boots_again_waits_for_what_starts_there_and_then_starts_it(
    world: World, recorded: bool
) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    if recorded:
        evacuation.start()
    plan = world.services.hosts.register(world.report("cmp-2", "boot-2"))
    assert (plan.held_by, "web-01" in dict(_names(plan.start))) == (("web-01",), False)
    evacuation.finish()
    plan = world.services.hosts.register(world.report("cmp-2", "boot-2"))
    assert (plan.held_by, dict(_names(plan.start))["web-01"]) == ((), 2)


def test_destination_whose_worker_starts_anew_is_not_held_when_something_starts_there(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    assert world.services.hosts.register(world.report("cmp-2")).held_by == ()


@pytest.mark.parametrize("recorded", [False, True], ids=["the start is not recorded", "the start is recorded"])
def test_guest_that_an_evacuation_has_started_there_is_not_paused_when_its_host_returns_with_the_same_boot(
    world: World, recorded: bool
) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    if recorded:
        evacuation.start()
    world.fence("cmp-2")
    started = _guest(world, "web-01", epoch=2)
    plan = world.services.hosts.register(world.report("cmp-2", "boot-1", (started,)))
    assert (plan.quarantine, plan.destroy) == ((), ())


def test_guest_of_an_attempt_that_was_proven_gone_is_paused_when_its_host_returns(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    world.fence("cmp-2")
    evacuation.guest_gone(1, "cmp-2")
    left = _guest(world, "web-01", epoch=2)
    plan = world.services.hosts.register(world.report("cmp-2", "boot-1", (left,)))
    assert _names(plan.quarantine) == [("web-01", 2)]


def test_running_guest_is_left_alone_when_its_host_returns_with_the_same_boot(world: World) -> None:
    world.fence()
    running = tuple(_guest(world, name) for name in ("web-01", "web-02"))
    stopped = _guest(world, "db-01", power=PowerState.SHUTDOWN)
    plan = world.services.hosts.register(world.report("cmp-1", "boot-1", (*running, stopped)))
    assert (plan.start, plan.destroy, plan.quarantine) == ((), (), ())
    assert world.host("cmp-1").state == "down"


def test_guest_whose_evacuation_was_given_up_gets_its_volumes_back_on_the_same_boot(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.detach()
    report = world.report("cmp-1", "boot-1", (_guest(world, "web-01"),))
    assert _names(world.services.hosts.register(report).quarantine) == [("web-01", 1)]
    evacuation.tear_down()
    evacuation.abandon()
    plan = world.services.hosts.register(report)
    assert ("web-01", 1) in _names(plan.start)
    world.start(plan.start[0], "cmp-1", "boot-1")
    assert [volume.status for volume in world.services.views.volumes()] == ["in-use", "in-use"]
    assert world.instance().epoch == 2
    assert next(each.epoch for each in world.services.views.residences() if each.proof is None) == 1


def test_instance_left_in_error_is_restored_when_its_source_returns(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    evacuation.guest_gone()
    evacuation.tear_down()
    evacuation.abandon(error=True)
    world.bring_up("cmp-1", "boot-2")
    after = world.instance()
    assert (after.vm_state, after.power_state, after.fault) == ("active", "running", None)
    volumes = world.services.views.volumes()
    assert {(a.host, a.status) for volume in volumes for a in volume.attachments} == {("cmp-1", "attached")}
    assert [volume.status for volume in volumes] == ["in-use", "in-use"]


def test_completing_a_return_is_stale_when_the_host_booted_again_or_was_fenced(world: World) -> None:
    world.services.hosts.register(world.report("cmp-1", "boot-2"))
    with pytest.raises(StaleAttemptError):
        world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-1"))
    world.fence("cmp-1", "boot-2")
    with pytest.raises(StaleAttemptError):
        world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-2"))
    assert world.host("cmp-1").state == "down"


def test_evidence_marks_the_host_down_and_the_first_is_kept(world: World) -> None:
    first = world.fence()
    again = evidence().model_copy(update={"who": "somebody else"})
    assert world.services.evidence.record_evidence(again) == first
    assert (world.host("cmp-1").state, world.host("cmp-1").fenced) == ("down", True)


def test_evidence_about_an_older_boot_leaves_the_host_up(world: World) -> None:
    world.bring_up("cmp-1", "boot-2")
    world.fence("cmp-1", "boot-1")
    assert (world.host("cmp-1").state, world.host("cmp-1").fenced) == ("up", False)


def test_evidence_said_before_the_first_boot_is_void_when_the_host_registers(world: World) -> None:
    services = world.services
    services.evidence.void_evidence("cmp-1", "boot-1", "nothing to void")
    assert services.evidence.current_evidence("cmp-1", None) is None
    services.evidence.record_evidence(evidence(incarnation=None, kind="operator"))
    assert services.evidence.current_evidence("cmp-1", None) is not None
    assert services.evidence.current_evidence("cmp-1", "boot-1") is None


def test_what_was_said_of_a_named_boot_is_not_about_the_first_one_that_registers(services: SqlServices) -> None:
    services.fleet.load(Fleet.model_validate({"hosts": [host("cmp-1")]}))
    for boot in ("boot-0", None):
        services.evidence.record_evidence(evidence(incarnation=boot, kind="operator"))
    services.hosts.register(
        m.HostReport(host="cmp-1", hypervisor_uuid="uuid", machine_id="machine", incarnation="boot-1", guests=())
    )
    rows = services.store._database.read(lambda session: session.exec(select(EvidenceRow.incarnation)).all())
    assert sorted(rows) == ["boot-0", "boot-1"]


def test_fence_is_shared_and_answers_with_current_evidence(world: World) -> None:
    request = _fence_request(world.id_of("web-01"))
    assert world.services.evidence.open_fence(request) is None
    assert world.services.evidence.open_fence(request) is None
    known = world.fence()
    assert world.services.evidence.open_fence(request) == known


def test_deletion_names_the_guest_to_destroy_and_removes_all_that_it_held(world: World) -> None:
    hosts, instance_id = world.services.hosts, world.id_of("web-01")
    plan = hosts.plan_deletion(instance_id)
    assert plan == hosts.plan_deletion(instance_id)
    assert plan.guest is not None and (plan.guest.host, plan.guest.epoch) == ("cmp-1", 1)
    for _ in range(2):
        hosts.record_deleted(plan.guest, instance_id)
    assert world.instance().vm_state == "deleted"
    assert world.allocations() == set()
    assert [volume.status for volume in world.services.views.volumes()] == ["available", "available"]
    assert all(each.proof for each in world.services.views.residences() if each.instance == "web-01")
    assert hosts.plan_deletion(instance_id).guest is None


def test_deleted_instance_does_not_start_and_is_destroyed_when_its_silent_host_returns(world: World) -> None:
    hosts, instance_id = world.services.hosts, world.id_of("web-01")
    hosts.plan_deletion(instance_id)
    hosts.record_deleted(None, instance_id)
    plan = hosts.register(world.report("cmp-1", "boot-2"))
    assert _names(plan.destroy) == [("web-01", 1)]
    guest = m.HostGuest(host="cmp-1", incarnation="boot-2", instance_id=instance_id, epoch=1)
    with pytest.raises(InstanceDeletedError):
        hosts.authorize_start(guest)
    hosts.record_destroyed(guest)
    assert hosts.register(world.report("cmp-1", "boot-2")).destroy == ()


def test_deleted_instance_is_destroyed_when_the_worker_of_its_host_is_back_in_the_same_boot(world: World) -> None:
    """It was only silent: nobody fenced it, and it is up."""
    hosts, instance_id = world.services.hosts, world.id_of("web-01")
    hosts.register(world.report("cmp-1", "boot-1"))
    hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-1"))
    hosts.record_deleted(None, instance_id)
    plan = hosts.register(world.report("cmp-1", "boot-1"))
    assert (_names(plan.destroy), plan.quarantine, plan.start, plan.held_by) == ([("web-01", 1)], (), (), ())
    hosts.record_destroyed(m.HostGuest(host="cmp-1", incarnation="boot-1", instance_id=instance_id, epoch=1))
    assert world.host("cmp-1").state == "up"
    assert hosts.register(world.report("cmp-1", "boot-1")).destroy == ()


def test_deletion_that_is_asked_for_again_names_the_guest_that_may_remain(world: World) -> None:
    hosts, instance_id = world.services.hosts, world.id_of("web-01")
    hosts.record_deleted(None, instance_id)
    plan = hosts.plan_deletion(instance_id)
    assert plan.guest is not None and (plan.guest.host, plan.guest.epoch) == ("cmp-1", 1)
    hosts.record_deleted(plan.guest, instance_id)
    assert hosts.plan_deletion(instance_id).guest is None


def test_deletion_that_is_asked_for_again_after_a_fence_records_the_proof(world: World) -> None:
    hosts, instance_id = world.services.hosts, world.id_of("web-01")
    hosts.record_deleted(None, instance_id)
    world.fence()
    assert hosts.plan_deletion(instance_id).guest is None
    hosts.record_deleted(None, instance_id)
    assert all(each.proof for each in world.services.views.residences() if each.instance == "web-01")


def test_deletion_waits_for_a_running_evacuation(world: World) -> None:
    world.evacuation().begin()
    instance_id = world.id_of("web-01")
    assert world.services.hosts.plan_deletion(instance_id).evacuation_running
    with pytest.raises(EvacuationRunningError):
        world.services.hosts.record_deleted(None, instance_id)


def test_guest_without_an_epoch_is_destroyed_where_its_instance_is_not(world: World) -> None:
    """What came there beside Evacuate, or what libvirt lost and nobody remembers."""
    world.evacuation().recover()
    [gone] = world.services.hosts.register(world.report("cmp-1", "boot-2")).destroy
    guest = m.HostGuest(host="cmp-1", incarnation="boot-2", instance_id=gone.instance_id, epoch=gone.epoch)
    world.services.hosts.record_destroyed(guest)
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2", (_guest(world, "web-01", epoch=0),)))
    assert _names(plan.destroy) == [("web-01", 1)]


def test_guest_without_an_epoch_is_quarantined_while_it_is_evacuated(world: World) -> None:
    world.fence()
    world.evacuation().begin()
    plan = world.services.hosts.register(world.report("cmp-1", "boot-1", (_guest(world, "web-01", epoch=0),)))
    assert _names(plan.quarantine) == [("web-01", 0)]


@pytest.mark.parametrize(
    ("boots", "power", "destroyed"),
    [
        (1, PowerState.RUNNING, False),
        (2, PowerState.RUNNING, True),
        (2, PowerState.SHUTDOWN, False),
    ],
    ids=["of the first epoch it is taken over", "of a later one it is another's", "only defined it is replaced"],
)
def test_guest_without_an_epoch_at_home(world: World, boots: int, power: PowerState, destroyed: bool) -> None:
    if boots == 2:
        world.bring_up("cmp-1", "boot-2")
    boot = f"boot-{boots}"
    world.fence(boot=boot)
    plan = world.services.hosts.register(world.report("cmp-1", boot, (_guest(world, "web-01", epoch=0, power=power),)))
    assert _names(plan.destroy) == ([("web-01", 1)] if destroyed else [])
    assert "web-01" in [name for name, _ in _names(plan.start)]
