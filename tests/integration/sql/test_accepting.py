"""Another board takes the name of a host: it never comes back by itself, a person's word lets it in, and neither the
power nor the boots of the new one say anything of the old one."""

from datetime import UTC, datetime, timedelta

import pytest

from evacuation import messages as m
from evacuation.errors import (
    EvacuateError,
    HostAnswersError,
    HostIdentityError,
    ResidenceNotProvenError,
    SourceNotFencedError,
    SourceReturnedError,
    StaleAttemptError,
)
from evacuation.fencing import FencingPolicy
from evacuation.fleet import Fleet
from evacuation.identity import Identity
from evacuation.invariants import World as Looked
from evacuation.invariants import find_breaches
from evacuation.model import EvidenceKind, PowerReading, PowerState, VmState
from services.sql import SqlServices, open_services
from services.sql.ledger.cutting import begin_cut
from tests.integration.sql.world import World, evidence, host, instance

OLD = Identity(hypervisor_uuid="uuid-cmp-1", machine_id="machine")
NEW = Identity(hypervisor_uuid="uuid-new", machine_id="machine")
WORD = "Jo has the old board on her desk"


def report(of: Identity = NEW, boot: str = "new-1", name: str = "cmp-1", guests: tuple[m.GuestState, ...] = ()):
    return m.HostReport(host=name, **dict(of), incarnation=boot, guests=guests)


def refuse(world: World, of: Identity = NEW, boot: str = "new-1", name: str = "cmp-1") -> str:
    with pytest.raises(HostIdentityError) as refused:
        world.services.hosts.register(report(of, boot, name))
    return refused.value.line


def asked(world: World, found: Identity | None = NEW, boot: str | None = "new-1", **other: object) -> m.AcceptIdentity:
    """As a person asks who has seen the store as it is now."""
    seen = world.host("cmp-1")
    said = {"host": "cmp-1", "known": seen.identity, "incarnation": seen.incarnation, "statement": WORD, "who": "jo"}
    return m.AcceptIdentity.model_validate(said | {"found": found, "found_incarnation": boot} | other)


def accept(world: World, found: Identity | None = NEW, boot: str | None = "new-1", **other: object) -> None:
    world.services.evidence.accept(asked(world, found, boot, **other))


def come_back(world: World, of: Identity = NEW, boot: str = "new-1") -> m.ReturnPlan:
    plan = world.services.hosts.register(report(of, boot))
    for key in plan.start:
        world.start(key, "cmp-1", boot)
    world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation=boot))
    return plan


def answer(world: World, boot: str) -> None:
    world.services.evidence.void_evidence("cmp-1", boot, "its own worker answered")


def known(world: World, boot: str = "boot-1") -> EvidenceKind | None:
    """What proves that boot over."""
    found = world.services.evidence.usable_evidence("cmp-1", boot)
    return found.kind if found else None


def guest(world: World, name: str = "web-01", boot: str = "new-1", epoch: int = 1) -> m.HostGuest:
    return m.HostGuest(host="cmp-1", incarnation=boot, instance_id=world.id_of(name), epoch=epoch)


def breaches(world: World) -> set[str]:
    return {each.rule for each in find_breaches(Looked(rows=world.services.views.everything(), guests=(), disks=()))}


def test_who_is_refused_is_noted_with_what_to_do_until_the_host_itself_is_back(world: World) -> None:
    line = refuse(world)
    assert "evacuate host accept cmp-1 --confirmed-gone" in line and "uuid-new" in line and "uuid-cmp-1" in line
    refused = world.host("cmp-1").refused
    assert refused is not None and Identity.of(refused) == NEW and refused.incarnation == "new-1"
    assert (world.host("cmp-1").identity, world.host("cmp-2").refused) == (OLD, None)
    world.services.hosts.register(world.report("cmp-1"))
    assert world.host("cmp-1").refused is None


def test_refusal_changes_nothing_else(world: World) -> None:
    before = world.snapshot()
    refuse(world)
    assert world.host("cmp-1").model_copy(update={"refused": None}) == before[0][0]
    assert world.snapshot()[1:] == before[1:]


@pytest.mark.parametrize("found", [NEW, OLD.model_copy(update={"machine_id": "reinstalled"})])
def test_accepted_board_is_the_host_from_its_next_return_on_and_starts_its_guests_anew(
    world: World, found: Identity
) -> None:
    refuse(world, found)
    accept(world, found)
    waiting = world.host("cmp-1")
    assert (waiting.state, waiting.fenced, waiting.identity, waiting.refused) == ("down", True, found, None)
    assert [(each.incarnation, each.who, each.said) for each in waiting.replaced] == [("boot-1", "jo", WORD)]
    assert world.instance("web-01").power_state == "nostate"
    plan = come_back(world, found)
    assert [key.name for key in plan.start] == ["web-01", "web-02", "db-01"]
    assert (world.host("cmp-1").state, world.host("cmp-1").fenced) == ("up", False)
    assert (world.instance("web-01").power_state, world.instance("web-01").epoch) == ("running", 2)
    places = {(r.host, r.incarnation, r.proof) for r in world.services.views.residences() if r.instance == "web-01"}
    assert places == {("cmp-1", "boot-1", f"operator: {WORD}"), ("cmp-1", "new-1", None)}
    assert breaches(world) == set()


def test_old_board_is_refused_once_another_one_was_accepted(world: World) -> None:
    accept(world)
    assert "uuid-new" in refuse(world, OLD, "boot-2")
    come_back(world)
    refuse(world, OLD, "boot-2")
    assert world.host("cmp-1").identity == NEW


def test_without_anybody_seen_whoever_comes_next_is_accepted_but_not_who_it_was(world: World) -> None:
    accept(world, None, None)
    assert world.host("cmp-1").identity is None
    assert "what cmp-1 was before" in refuse(world, OLD, "boot-2")
    assert "known as cmp-3" in refuse(world, Identity(hypervisor_uuid="uuid-cmp-3", machine_id="x"), "any")
    come_back(world)
    assert (world.host("cmp-1").identity, world.host("cmp-1").state) == (NEW, "up")


def test_board_of_another_host_of_the_fleet_is_refused_and_nothing_is_changed(world: World) -> None:
    other = Identity(hypervisor_uuid="uuid-cmp-3", machine_id="machine")
    refuse(world, other, "boot-1")
    before = world.snapshot()
    with pytest.raises(HostIdentityError, match="cmp-3"):
        accept(world, other)
    assert world.snapshot() == before


@pytest.mark.parametrize("boots_before", [0, 1])
def test_board_that_runs_in_a_boot_of_before_is_no_other_board(world: World, boots_before: int) -> None:
    """Its machine id was changed, or it is the one that was said to be gone: its guests run on."""
    for _ in range(boots_before):
        accept(world)
        come_back(world)
    with pytest.raises(HostAnswersError, match="boot-1"):
        accept(world, OLD.model_copy(update={"machine_id": "changed"}), "boot-1")
    assert known(world) is (EvidenceKind.OPERATOR if boots_before else None)


def test_host_that_has_changed_since_it_was_looked_at_is_left_alone(world: World) -> None:
    looked = asked(world)
    world.bring_up("cmp-1", "boot-2")
    before = world.snapshot()
    with pytest.raises(HostAnswersError, match="boot-2"):
        world.services.evidence.accept(looked)
    assert world.snapshot() == before


def test_of_two_persons_who_accept_two_boards_the_second_is_told(world: World) -> None:
    first, second = asked(world), asked(world, OLD.model_copy(update={"machine_id": "other"}), "other-1")
    world.services.evidence.accept(first)
    with pytest.raises(HostAnswersError, match="uuid-new"):
        world.services.evidence.accept(second)
    assert world.host("cmp-1").identity == NEW


@pytest.mark.parametrize("found", [NEW, None])
@pytest.mark.parametrize("returned", [False, True])
def test_call_that_is_repeated_changes_nothing(world: World, found: Identity | None, returned: bool) -> None:
    call = asked(world, found, "new-1" if found else None)
    world.services.evidence.accept(call)
    if returned:
        come_back(world)
    before = world.snapshot()
    world.services.evidence.accept(call)
    assert world.snapshot() == before


def test_accepted_twice_before_it_came_the_last_one_is_it(world: World) -> None:
    accept(world)
    newer = Identity(hypervisor_uuid="uuid-newer", machine_id="machine")
    refuse(world, newer, "newer-1")
    accept(world, newer, "newer-1")
    assert [Identity.of(each) for each in world.host("cmp-1").replaced] == [OLD]
    assert "uuid-newer" in refuse(world)
    come_back(world, newer, "newer-1")
    assert world.host("cmp-1").identity == newer


def test_board_that_was_repaired_takes_its_place_back(world: World) -> None:
    accept(world)
    come_back(world)
    refuse(world, OLD, "boot-2")
    accept(world, OLD, "boot-2")
    come_back(world, OLD, "boot-2")
    shown = world.host("cmp-1")
    assert (shown.identity, shown.state, len(shown.replaced)) == (OLD, "up", 2)
    assert world.instance("web-01").epoch == 3 and breaches(world) == set()


def test_power_that_reads_on_says_nothing_of_the_board_before(world: World) -> None:
    accept(world)
    world.services.evidence.record_reading("cmp-1", PowerReading.ON, datetime.now(UTC) + timedelta(seconds=1))
    assert known(world) is EvidenceKind.OPERATOR


def test_power_that_reads_off_says_nothing_of_the_board_before_either(world: World) -> None:
    accept(world)
    answer(world, "boot-1")
    world.services.evidence.record_evidence(evidence())
    world.services.evidence.record_reading("cmp-1", PowerReading.OFF, datetime.now(UTC))
    assert known(world) is None
    come_back_without_starts(world)
    world.services.evidence.end_cut("cmp-1", "somebody", (evidence(), evidence(incarnation="new-1")))
    assert (known(world), world.host("cmp-1").state) == (None, "down")


@pytest.mark.parametrize("heard", [False, True])
def test_new_board_is_not_cut_for_the_one_before(world: World, heard: bool) -> None:
    accept(world)
    if heard:
        answer(world, "boot-1")
    request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id="")
    with pytest.raises(SourceReturnedError, match="another board"):
        world.services.database.write(begin_cut, request, "somebody", datetime.now(UTC) + timedelta(hours=1))


def test_boot_of_the_new_board_is_no_proof_for_the_one_before_once_that_was_heard_of(world: World) -> None:
    """It was plugged into another rack, and its guests run on: nothing of it starts here."""
    accept(world)
    answer(world, "boot-1")
    plan = world.services.hosts.register(report())
    assert world.instance("web-01").power_state == "running", "as far as anybody knows"
    with pytest.raises(ResidenceNotProvenError):
        world.services.hosts.authorize_start(guest(world))
    world.services.hosts.record_destroyed(guest(world))
    unproven = {r.instance for r in world.services.views.residences() if r.host == "cmp-1" and r.proof is None}
    assert unproven == {"web-01", "web-02", "db-01"} and plan.held_by == ()


def test_earlier_boots_of_the_board_before_are_over_as_ever(world: World) -> None:
    world.services.hosts.register(world.report("cmp-1", "boot-2"))
    accept(world)
    assert (known(world, "boot-1"), known(world, "boot-2")) == (EvidenceKind.NEW_INCARNATION, EvidenceKind.OPERATOR)


def test_instance_is_not_started_in_place_where_only_the_new_board_says_that_it_is_gone(world: World) -> None:
    accept(world)
    answer(world, "boot-1")
    world.services.hosts.register(report())
    world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="new-1"))
    start = m.AuthorizeInPlace(guest=guest(world), owner="in-place-1", vm_state=VmState.ACTIVE)
    with pytest.raises(SourceReturnedError):
        world.services.hosts.authorize_in_place(start)
    accept(world, NEW, None)
    assert world.services.hosts.authorize_in_place(start).epoch == 2


def test_deleted_instance_keeps_its_volumes_until_the_board_before_is_gone(world: World) -> None:
    accept(world)
    answer(world, "boot-1")
    come_back_without_starts(world)
    world.services.hosts.plan_deletion(world.id_of("web-01"))
    world.services.hosts.record_deleted(guest(world), world.id_of("web-01"))
    assert [each.status for each in world.services.views.volumes()] == ["reserved", "reserved"]
    accept(world, NEW, None)
    assert [each.status for each in world.services.views.volumes()] == ["available", "available"]


def come_back_without_starts(world: World) -> None:
    world.services.hosts.register(report())
    world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="new-1"))


@pytest.mark.parametrize("by", ["its own name", "an answer", "another host's name"])
def test_board_that_was_said_to_be_gone_and_is_heard_of_voids_the_word_and_is_told(
    services: SqlServices, by: str
) -> None:
    hosts = [host(name) for name in ("cmp-1", "cmp-2", "cmp-4")]
    world = World.of(services)
    services.fleet.load(Fleet.model_validate({"hosts": hosts, "instances": [instance("web-01")]}))
    world.bring_up("cmp-1")
    accept(world)
    assert known(world) is EvidenceKind.OPERATOR and "gone-and-seen" not in breaches(world)
    if by == "its own name":
        refuse(world, OLD, "boot-1")
    elif by == "an answer":
        answer(world, "boot-1")
    else:
        services.hosts.register(report(OLD, "boot-1", "cmp-4"))
    assert known(world) is None and "gone-and-seen" in breaches(world)
    assert world.host("cmp-1").replaced[0].seen_at is not None and world.host("cmp-1").heard_of_before
    accept(world, NEW, None, statement="found it, and pulled it")
    assert known(world) is EvidenceKind.OPERATOR and "gone-and-seen" not in breaches(world)
    assert [(each.said, each.seen_at) for each in world.host("cmp-1").replaced] == [("found it, and pulled it", None)]
    assert world.host("cmp-1").identity == NEW


def test_board_that_boots_anew_as_another_host_voids_nothing(services: SqlServices) -> None:
    services.fleet.load(Fleet.model_validate({"hosts": [host("cmp-1"), host("cmp-4")], "instances": []}))
    world = World.of(services)
    world.bring_up("cmp-1")
    accept(world)
    services.hosts.register(report(OLD, "boot-2", "cmp-4"))
    assert (known(world), world.host("cmp-4").identity) == (EvidenceKind.OPERATOR, OLD)


def test_worker_that_is_refused_in_the_very_boot_that_was_said_to_be_off_voids_that(world: World) -> None:
    world.services.evidence.record_evidence(evidence(kind="operator"))
    refuse(world, OLD.model_copy(update={"machine_id": "changed"}), "boot-1")
    assert world.services.evidence.current_evidence("cmp-1", "boot-1") is None


def test_evacuation_that_runs_goes_on_by_the_word_and_holds_the_new_board(world: World) -> None:
    world.services.evidence.record_evidence(evidence(kind="operator"))
    world.services.evidence.record_reading("cmp-1", PowerReading.OFF, datetime.now(UTC))
    evacuation = world.evacuation()
    evacuation.begin()
    accept(world)
    plan = world.services.hosts.register(report())
    assert plan.held_by == ("web-01",)
    assert [key.name for key in plan.start] == ["web-02", "db-01"]
    evacuation.finish(1, "cmp-2", evacuation.to_authorized().epoch)
    plan = come_back(world)
    assert (plan.held_by, [(key.name, key.epoch) for key in plan.destroy]) == ((), [("web-01", 1)])
    world.services.hosts.record_destroyed(guest(world))
    assert world.services.views.migrations()[0].status == "completed"
    assert world.instance("web-01").host == "cmp-2" and breaches(world) == set()


def test_evacuation_begins_by_the_word_while_the_new_board_is_awaited(world: World) -> None:
    accept(world)
    evacuation = world.evacuation()
    assert evacuation.proof is not None and evacuation.proof.kind is EvidenceKind.OPERATOR
    evacuation.begin()
    evacuation.finish(1, "cmp-2", evacuation.to_authorized().epoch)
    assert world.instance("web-01").host == "cmp-2"


def test_evacuation_does_not_start_once_the_board_before_was_heard_of(world: World) -> None:
    accept(world)
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.prepare()
    evacuation.bind()
    evacuation.detach()
    evacuation.attach()
    refuse(world, OLD, "boot-1")
    with pytest.raises(SourceReturnedError):
        evacuation.authorize()
    come_back_without_starts(world)
    with pytest.raises(SourceReturnedError):
        evacuation.authorize()


def test_word_alone_lets_nobody_in_where_the_policy_asks_for_more(url: str) -> None:
    services = open_services(url, FencingPolicy.parse("2 of power, operator"))
    try:
        world = World(services)
        before = world.snapshot()
        with pytest.raises(SourceNotFencedError, match="policy"):
            accept(world)
        assert world.snapshot() == before
        world.fence()
        accept(world)
        assert [key.name for key in come_back(world).start] == ["web-01", "web-02", "db-01"]
    finally:
        services.close()


def test_late_end_of_the_old_boards_return_is_stale(world: World) -> None:
    accept(world)
    come_back(world)
    with pytest.raises(StaleAttemptError):
        world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-1"))
    with pytest.raises(EvacuateError):
        world.services.hosts.authorize_start(guest(world, boot="boot-1"))
    late = m.RecordStarted(guest=guest(world, boot="boot-1"), power_state=PowerState.SHUTDOWN)
    world.services.hosts.record_started(late)
    assert world.instance("web-01").power_state == "running"


def test_late_end_of_the_old_boards_return_before_the_new_one_comes_does_not_bring_it_up(world: World) -> None:
    accept(world)
    with pytest.raises(StaleAttemptError):
        world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-1"))
    answer(world, "boot-1")
    with pytest.raises(StaleAttemptError):
        world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-1"))
    with pytest.raises(StaleAttemptError):
        world.services.hosts.authorize_start(guest(world, boot="boot-1"))
    assert world.host("cmp-1").state == "down"


def test_reconciliation_takes_another_board_for_a_host_that_was_not_asked(world: World) -> None:
    """It knows nothing of what runs on the old one, and its boot does not end that one's."""
    before = world.services.views.residences()
    done = world.services.ledger.reconcile(m.Reconcile(reports=(report(), world.report("cmp-2"))))
    assert done.not_asked == ("cmp-1",)
    assert (world.host("cmp-1").incarnation, world.services.views.residences()) == ("boot-1", before)
