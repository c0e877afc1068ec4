"""One evacuation through the store: each call twice with one result, late calls refused without a write."""

from collections.abc import Callable

import pytest
from sqlmodel import Session, delete, select

from evacuation import messages as m
from evacuation.errors import (
    AttachmentLostError,
    DestinationBusyError,
    DestinationUnableError,
    EvacuateError,
    InstanceChangedError,
    InstanceDeletedError,
    InstanceNotFoundError,
    NoValidHostError,
    OwnerChangedError,
    ResidenceNotProvenError,
    SourceReturnedError,
    StaleAttemptError,
)
from evacuation.fleet import Fleet
from services.sql import SqlServices
from services.sql.tables import MigrationRow, ResidenceRow
from tests.integration.sql.world import Evacuation, World, host, instance

FORWARD: dict[str, Callable[[Evacuation], object]] = {
    "claim": lambda e: e.claim(),
    "prepare": lambda e: e.prepare(),
    "bind": lambda e: e.bind(),
    "detach": lambda e: e.detach(),
    "attach": lambda e: e.attach(),
    "authorize": lambda e: e.authorize(),
    "finish": lambda e: e.finish(),
}


def _statuses(world: World) -> list[str]:
    return [volume.status for volume in world.services.views.volumes()]


def test_recovery_leaves_everything_with_the_destination(world: World) -> None:
    world.evacuation().recover()
    after, services = world.instance(), world.services
    assert (after.host, after.vm_state, after.task_state, after.power_state) == ("cmp-2", "active", None, "running")
    assert world.allocations() == {("instance", "cmp-2")}
    assert [(port.host, port.status) for port in services.views.ports()] == [("cmp-2", "ACTIVE")]
    assert _statuses(world) == ["in-use", "in-use"]
    assert {(a.host, a.status) for v in services.views.volumes() for a in v.attachments} == {("cmp-2", "attached")}
    assert [each.status for each in services.views.migrations()] == ["done"]
    assert services.network.is_bound(after.id, "cmp-2")
    outcome = services.store.outcome("ev-1")
    assert outcome is not None and outcome.outcome == "recovered"
    events = [each.name for action in services.views.actions(after.id) for each in action.events]
    assert sorted(events) == ["check_request", "claim", "finish_evacuation"]


def test_every_forward_call_has_one_result_when_it_is_repeated(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    assert evacuation.begin() == evacuation.begin()
    for call in FORWARD.values():
        first = call(evacuation)
        once = world.snapshot()
        assert call(evacuation) == first
        twice = world.snapshot()
        # Only the migration's time of update may differ.
        assert [*once[:2], *once[3:]] == [*twice[:2], *twice[3:]]


def test_begin_writes_task_state_migration_and_action(world: World) -> None:
    begun = world.evacuation().begin()
    assert (begun.attempt, begun.phase, begun.wanted) == (0, m.AttemptPhase.UNDONE, "active")
    assert world.instance().task_state == "rebuilding"
    migration = world.services.views.migrations()[0]
    assert (migration.status, migration.type, migration.source) == ("accepted", "evacuation", "cmp-1")


def test_begin_writes_nothing_when_the_instance_changed_since_the_check(world: World) -> None:
    late = world.evacuation(evacuation_id="ev-late")
    world.evacuation().recover()
    before = world.snapshot()
    with pytest.raises(InstanceChangedError):
        late.begin()
    assert world.snapshot() == before


def test_begin_is_stale_when_its_evacuation_is_over(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.abandon(0)
    with pytest.raises(StaleAttemptError):
        evacuation.begin()


def test_begin_is_stale_when_it_comes_after_the_abandoning(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.abandon(0)
    with pytest.raises(StaleAttemptError):
        evacuation.begin()
    assert world.instance().task_state is None
    assert world.services.views.migrations() == ()


def test_begin_refuses_when_another_evacuation_is_open(world: World) -> None:
    second = world.evacuation(evacuation_id="ev-2", owner="run-2")
    world.evacuation().begin()
    with pytest.raises(OwnerChangedError):
        second.begin()


def test_own_evacuation_that_is_over_is_not_adopted_again_and_says_so(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.abandon(0)
    with pytest.raises(StaleAttemptError, match="over"):
        evacuation.begin(adopts=m.OpenEvacuation(evacuation_id="ev-1", owner="run-1"))


def test_call_of_another_instances_evacuation_or_of_none_is_stale(world: World) -> None:
    """Whatever it asks for; and nothing is written."""
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    before = world.snapshot()
    for calls in (world.evacuation("web-02", "ev-1"), world.evacuation(evacuation_id="ev-9")):
        for call in (calls.guest_gone, calls.start, calls.claim, calls.bind):
            with pytest.raises(StaleAttemptError, match="it never began"):
                call()
    assert world.snapshot() == before


def test_guest_that_is_gone_proves_the_place_of_its_own_attempt(world: World) -> None:
    """And not again that of an earlier one."""
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    for attempt, to in ((1, "cmp-2"), (2, "cmp-3")):
        evacuation.to_authorized(attempt, to)
        evacuation.guest_gone(attempt, to)
        evacuation.tear_down(attempt)
    found = {each.epoch: each.proof for each in world.services.views.residences() if each.instance == "web-01"}
    proofs = {epoch: proof.partition(":")[0] for epoch, proof in found.items() if proof}
    assert proofs == {1: "power-off", 2: "guest-gone", 3: "guest-gone"}


def move(world: World, name: str, to: str) -> int:
    """The epoch that the migration says the source has to destroy."""
    evacuation = world.evacuation(name, f"{name} to {to}")
    evacuation.begin()
    given = evacuation.to_authorized(1, to)
    evacuation.finish(1, to, given.epoch)
    return source_epochs(world)[f"{name} to {to}"]


def source_epochs(world: World) -> dict[str, int]:
    def read(session: Session) -> dict[str, int]:
        return {row.evacuation_id: row.source_epoch for row in session.exec(select(MigrationRow)).all()}

    return world.services.store._database.read(read)


def test_migration_says_which_guest_its_source_has_to_destroy(world: World) -> None:
    """The instance's last one there: not another instance's, and not one of another host."""
    world.fence()
    assert move(world, "web-01", "cmp-2") == 1
    world.fence("cmp-2")
    assert move(world, "web-03", "cmp-3") == 1
    assert move(world, "web-01", "cmp-3") == 2


def test_migration_of_what_never_was_at_its_source_leaves_nothing_to_destroy(world: World) -> None:
    world.services.store._database.write(lambda session: session.exec(delete(ResidenceRow)))
    world.evacuation().begin()
    assert source_epochs(world) == {"ev-1": 0}


def test_adoption_makes_every_call_of_the_run_before_stale(world: World) -> None:
    world.fence()
    first = world.evacuation()
    first.begin()
    to = first.claim()
    second = world.evacuation(evacuation_id="ev-1", owner="run-2")
    left = m.OpenEvacuation(evacuation_id="ev-1", owner="run-1")
    begun = second.begin(adopts=left)
    assert (begun.attempt, begun.phase, begun.destination) == (1, m.AttemptPhase.UNDOING, to)
    assert second.begin(adopts=left) == begun
    before = world.snapshot()
    for call in FORWARD.values():
        with pytest.raises(StaleAttemptError):
            call(first)
    with pytest.raises(StaleAttemptError):
        first.tear_down()
    assert world.snapshot() == before
    second.tear_down()
    second.finish(2, epoch=second.to_authorized(2).epoch)
    assert world.instance().host == "cmp-2"


def test_adoption_of_an_authorized_attempt_finishes_it_forward(world: World) -> None:
    world.fence()
    first = world.evacuation()
    first.begin()
    to = first.to_authorized()
    second = world.evacuation(owner="run-2")
    begun = second.begin(adopts=m.OpenEvacuation(evacuation_id="ev-1", owner="run-1"))
    assert (begun.phase, begun.destination) == (m.AttemptPhase.AUTHORIZED, to)
    second.finish(1, epoch=to.epoch)
    assert world.instance().host == "cmp-2"


def _started_and_left(world: World) -> tuple[Evacuation, m.Destination]:
    """The start was recorded; then the run was terminated, and another one takes it over."""
    world.fence()
    first = world.evacuation()
    first.begin()
    to = first.to_authorized()
    first.start()
    second = world.evacuation(owner="run-2")
    begun = second.begin(adopts=m.OpenEvacuation(evacuation_id="ev-1", owner="run-1", wanted="active"))
    assert (begun.phase, begun.destination) == (m.AttemptPhase.STARTED, to)
    return second, to


def test_recorded_start_is_kept_by_an_adoption_and_nothing_of_it_is_undone(world: World) -> None:
    second, to = _started_and_left(world)
    before = world.snapshot()
    assert world.services.store.call_off(second.at(1))
    for call in (second.guest_gone, second.tear_down, second.abandon):
        with pytest.raises((StaleAttemptError, ResidenceNotProvenError)):
            call()
    assert world.snapshot() == before
    second.finish(1, epoch=to.epoch)
    assert world.instance().host == "cmp-2"


def test_recorded_start_is_undone_for_a_deletion_only(world: World) -> None:
    second, _ = _started_and_left(world)
    world.services.hosts.plan_deletion(second.ref.instance_id)
    with pytest.raises(InstanceDeletedError):
        second.finish()
    second.guest_gone()
    second.tear_down()
    second.abandon(deleted=True)
    assert (world.instance().vm_state, world.allocations()) == ("deleted", set())


def test_start_is_recorded_once_and_not_for_a_run_that_was_replaced(world: World) -> None:
    second, to = _started_and_left(world)
    with pytest.raises(StaleAttemptError):
        world.evacuation().start()
    second.start()
    second.finish(1, epoch=to.epoch)
    before = world.snapshot()
    second.start()
    second.finish(1, epoch=to.epoch)
    assert world.snapshot() == before


def test_start_is_not_recorded_before_it_is_authorised(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    with pytest.raises(StaleAttemptError):
        evacuation.start()


def test_start_that_is_recorded_makes_room_for_the_next_one(services: SqlServices) -> None:
    fleet = {"hosts": [host("cmp-1"), host("cmp-2", max_evacuations=1)], "instances": [instance("a"), instance("b")]}
    world = World(services, Fleet.model_validate(fleet))
    world.fence()
    first, second = world.evacuation("a", "ev-a"), world.evacuation("b", "ev-b")
    for each in (first, second):
        each.begin()
        each.claim()
    first.authorize()
    first.start()
    assert second.authorize().epoch == 2


def test_adoption_refuses_when_something_else_is_open(world: World) -> None:
    world.evacuation().begin()
    with pytest.raises(OwnerChangedError):
        world.evacuation(owner="run-3").begin(adopts=m.OpenEvacuation(evacuation_id="ev-1", owner="run-2"))


@pytest.mark.parametrize("late", FORWARD)
def test_forward_call_is_stale_without_a_write_when_the_attempt_is_undone(world: World, late: str) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.tear_down()
    before = world.snapshot()
    with pytest.raises(StaleAttemptError):
        FORWARD[late](evacuation)
    assert world.snapshot() == before


@pytest.mark.parametrize("late", [name for name in FORWARD if name != "finish"])
def test_forward_call_is_stale_without_a_write_when_the_evacuation_is_over(world: World, late: str) -> None:
    evacuation = world.evacuation()
    evacuation.recover()
    before = world.snapshot()
    with pytest.raises(StaleAttemptError):
        FORWARD[late](evacuation)
    assert world.snapshot() == before


def test_claim_is_stale_when_its_attempt_was_undone_before_it_came(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.services.network.unbind(evacuation.at(1))
    with pytest.raises(StaleAttemptError):
        evacuation.claim(1)
    evacuation.services.capacity.release(evacuation.at(1))
    with pytest.raises(StaleAttemptError):
        evacuation.claim(1)
    assert evacuation.claim(2).epoch == 2


def test_claim_moves_the_sources_allocation_to_the_migration(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    assert world.allocations() == {("migration", "cmp-1"), ("instance", "cmp-2")}


def test_claim_names_every_host_and_writes_nothing_when_none_fits(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    before = world.snapshot()
    with pytest.raises(NoValidHostError) as refused:
        evacuation.claim(target="cmp-1")
    assert {each.host for each in refused.value.hosts} == {"cmp-1", "cmp-2", "cmp-3"}
    assert all(name in refused.value.message for name in ("cmp-1", "cmp-2", "cmp-3"))
    assert world.snapshot() == before
    with pytest.raises(EvacuateError) as not_yet:
        evacuation.claim(target="cmp-1", wait=True)
    assert not_yet.value.benign
    assert world.allocations() == {("instance", "cmp-1")}
    assert [each.holds_source for each in world.services.views.evacuations()] == [False]


def test_undoing_gives_everything_back_and_every_step_may_be_repeated(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    for _ in range(2):
        evacuation.guest_gone()
    for _ in range(2):
        evacuation.tear_down()
        assert world.allocations() == {("instance", "cmp-1")}
        assert [port.host for port in world.services.views.ports()] == ["cmp-1"]
        assert _statuses(world) == ["reserved", "reserved"]
    devices = world.services.store.block_devices(evacuation.ref)
    assert {d.source_connector.host for d in devices if d.source_connector} == {"cmp-1"}
    assert len({each.attachment_id for each in devices}) == 2


def test_compensations_refuse_while_the_attempts_guest_may_run(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    before = world.snapshot()
    for undo in (world.services.network.unbind, world.services.capacity.release):
        with pytest.raises(ResidenceNotProvenError):
            undo(evacuation.at(1))
    assert world.services.store.call_off(evacuation.at(1)) is True
    assert world.snapshot() == before


def test_calling_off_makes_a_late_authorisation_stale(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    for _ in range(2):
        assert world.services.store.call_off(evacuation.at(1)) is False
    with pytest.raises(StaleAttemptError):
        evacuation.authorize()


def test_source_connector_is_never_overwritten_by_a_later_attempt(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    evacuation.guest_gone()
    evacuation.tear_down()
    evacuation.to_authorized(2, "cmp-3")
    devices = world.services.store.block_devices(evacuation.ref)
    assert {d.source_connector.host for d in devices if d.source_connector} == {"cmp-1"}
    evacuation.finish(2, "cmp-3", epoch=3)
    assert all(d.source_connector is None for d in world.services.store.block_devices(evacuation.ref))


def test_source_connector_that_is_saved_is_kept_whatever_is_saved_later(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.detach()
    store, ref = world.services.store, evacuation.at(1)
    for device in store.block_devices(ref):
        store.save_source_connector(ref, device.volume_id, m.Connector(host="cmp-2", incarnation="boot-1"))
    assert [d.source_connector and d.source_connector.host for d in store.block_devices(ref)] == ["cmp-1", "cmp-1"]


def test_volume_is_never_available_while_it_is_detached(world: World) -> None:
    world.fence()
    evacuation, seen = world.evacuation(), set[str]()
    evacuation.begin()
    evacuation.claim()
    for device in world.services.store.block_devices(evacuation.at(1)):
        volumes, ref = world.services.volumes, evacuation.at(1)
        assert device.attachment_id is not None
        with pytest.raises(AttachmentLostError):
            volumes.delete(ref, device.attachment_id, undo=False)
        new = volumes.reserve(ref, device.volume_id, f"new/{device.volume_id}", undo=False)
        seen |= set(_statuses(world))
        for _ in range(2):
            volumes.delete(ref, device.attachment_id, undo=False)
        seen |= set(_statuses(world))
        with pytest.raises(AttachmentLostError):
            volumes.delete(ref, new, undo=False)
        assert volumes.reserve(ref, device.volume_id, f"new/{device.volume_id}", undo=False) == new
    assert seen == {"in-use", "reserved"}


def test_attachment_that_somebody_removed_does_not_make_the_attempt_stale(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    to = evacuation.claim()
    connector = m.Connector(host=to.host, incarnation="boot-1")
    with pytest.raises(AttachmentLostError):
        world.services.volumes.complete(evacuation.at(1), "removed", connector)
    evacuation.tear_down()
    assert evacuation.claim(2).epoch > to.epoch


def test_authorisation_writes_the_evidence_as_proof_and_one_unproven_residence(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    authorized = evacuation.authorize()
    assert [each.kind for each in authorized.evidence] == ["power-off"]
    mine = [each for each in world.services.views.residences() if each.instance == "web-01"]
    assert [(each.host, each.epoch, each.proof is None) for each in mine] == [("cmp-1", 1, False), ("cmp-2", 2, True)]


def test_authorisation_refuses_without_a_write_when_nothing_proves_the_source(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    before = world.snapshot()
    with pytest.raises(ResidenceNotProvenError):
        evacuation.authorize()
    assert world.snapshot() == before


def test_authorisation_refuses_when_the_source_returned_with_the_same_boot(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    world.services.evidence.void_evidence("cmp-1", "boot-1", "it answered")
    with pytest.raises(SourceReturnedError):
        evacuation.authorize()


def test_authorisation_is_proven_by_a_new_boot_of_the_source(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert [each.kind for each in evacuation.authorize().evidence] == ["new-incarnation"]


def test_authorisation_refuses_when_the_destination_went_down_or_booted_again(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    with pytest.raises(DestinationUnableError):
        evacuation.authorize(boot="boot-0")
    world.fence("cmp-2")
    with pytest.raises(DestinationUnableError):
        evacuation.authorize()


def test_authorisation_is_busy_when_the_destinations_cap_is_reached(services: SqlServices) -> None:
    fleet = {"hosts": [host("cmp-1"), host("cmp-2", max_evacuations=1)], "instances": [instance("a"), instance("b")]}
    world = World(services, Fleet.model_validate(fleet))
    world.fence()
    first, second = world.evacuation("a", "ev-a"), world.evacuation("b", "ev-b")
    for each in (first, second):
        each.begin()
        each.claim()
    first.authorize()
    first.authorize()
    with pytest.raises(DestinationBusyError):
        second.authorize()
    first.finish()
    assert second.authorize().epoch == 2


@pytest.mark.parametrize("call", ["claim", "prepare", "bind", "detach", "authorize"])
def test_forward_call_is_refused_when_the_instance_is_marked_for_deletion(world: World, call: str) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    if call != "claim":
        evacuation.claim()
    assert world.services.hosts.plan_deletion(evacuation.ref.instance_id).evacuation_running
    before = world.snapshot()
    with pytest.raises(InstanceDeletedError):
        FORWARD[call](evacuation)
    assert world.snapshot() == before


def test_abandoning_keeps_the_fault_and_frees_the_instance(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    for _ in range(2):
        evacuation.abandon(error=True)
    after = world.instance()
    assert (after.host, after.vm_state, after.task_state) == ("cmp-1", "error", None)
    assert after.fault is not None and after.fault.message == "no host fits"
    assert world.services.views.migrations()[0].status == "error"
    again = world.evacuation(evacuation_id="ev-2")
    assert again.facts.instance.wanted == "active"
    assert again.begin().evacuation_id == "ev-2"


def test_abandoning_leaves_the_vm_state_as_it_was_when_none_is_given(world: World) -> None:
    evacuation = world.evacuation("db-01")
    evacuation.begin()
    evacuation.abandon()
    assert world.instance("db-01").vm_state == "stopped"


def test_abandoning_is_stale_while_the_attempt_is_not_undone(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    with pytest.raises(StaleAttemptError):
        evacuation.abandon()
    assert world.instance().task_state == "rebuilding"


def test_abandoning_a_deleted_instance_removes_all_that_it_held(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    world.services.hosts.plan_deletion(evacuation.ref.instance_id)
    with pytest.raises(InstanceDeletedError):
        evacuation.finish()
    evacuation.guest_gone()
    evacuation.tear_down()
    evacuation.abandon(deleted=True)
    assert world.instance().vm_state == "deleted"
    assert world.allocations() == set()
    assert world.services.views.ports() == ()
    assert _statuses(world) == ["available", "available"]


def test_facts_name_the_other_guests_of_the_source(world: World) -> None:
    facts = world.evacuation().facts
    assert facts.others_on_source == ("web-02", "db-01")
    assert (facts.source_incarnation, facts.source_uuid, facts.evidence) == ("boot-1", "uuid-cmp-1", None)
    for target, known in ((None, set()), ("cmp-2", {"cmp-2"}), ("cmp-9", {"cmp-1", "cmp-2", "cmp-3"})):
        assert world.services.store.check_facts(world.id_of("web-01"), target).known_hosts == known
    with pytest.raises(InstanceNotFoundError):
        world.services.store.check_facts("no such id")


def test_facts_find_what_a_closed_run_left_open(world: World) -> None:
    proof = world.fence()
    world.evacuation().begin()
    facts = world.evacuation().facts
    assert facts.open == m.OpenEvacuation(evacuation_id="ev-1", owner="run-1", wanted="active")
    assert facts.evidence == proof
