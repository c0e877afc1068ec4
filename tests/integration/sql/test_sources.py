"""A source that comes back between any two steps of an evacuation: what begins, what is refused, who waits for whom."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from evacuation import messages as m
from evacuation.errors import (
    CapacityNotYetError,
    CutOverError,
    FenceDeclinedError,
    ResidenceNotProvenError,
    SourceReturnedError,
    StaleAttemptError,
)
from evacuation.model import Evidence
from services.sql.tables import utc_now
from tests.integration.sql.world import Evacuation, World, evidence

ME, OTHER = "run-1/1", "run-2/1"
Change = Callable[[World], object]


def proven(world: World, **how: str) -> Evacuation:
    """Checked, and its source proven off."""
    checked = world.evacuation(**how)
    checked.proof = world.fence()
    return checked


def cut(
    world: World,
    by: str = ME,
    *,
    host: str = "cmp-1",
    boot: str | None = "boot-1",
    name: str = "web-01",
    longest: float = 60,
    spare_others: bool = False,
) -> Evidence | None:
    request = m.FenceRequest(host=host, incarnation=boot, instance_id=world.id_of(name), spare_others=spare_others)
    return world.services.evidence.begin_cut(request, by, utc_now() + timedelta(seconds=longest))


def same_boot(world: World) -> object:
    return world.services.hosts.register(world.report("cmp-1"))


def answer(world: World) -> object:
    return world.services.evidence.void_evidence("cmp-1", "boot-1", "its own worker answered")


def new_boot(world: World) -> object:
    return world.bring_up("cmp-1", "boot-2")


def new_boot_that_died(world: World) -> object:
    """Down, up, and down again, and both boots are proven off."""
    new_boot(world)
    return world.fence("cmp-1", "boot-2")


CHANGES = pytest.mark.parametrize("change", [same_boot, answer, new_boot, new_boot_that_died])


@CHANGES
def test_evacuation_does_not_begin_when_its_source_came_back_after_it_was_proven_off(
    world: World, change: Change
) -> None:
    checked = proven(world)
    change(world)
    before = world.snapshot()
    with pytest.raises(SourceReturnedError):
        checked.begin()
    assert world.snapshot() == before


def test_evacuation_notes_by_what_evidence_it_began(world: World) -> None:
    checked = proven(world)
    checked.begin()
    assert checked.noted() == checked.proof


@CHANGES
def test_nothing_is_taken_from_an_instance_whose_source_came_back_before_evidence_was_noted(
    world: World, change: Change
) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    world.fence()
    change(world)
    with pytest.raises(SourceReturnedError):
        evacuation.prepare()
    assert evacuation.noted() is None


def test_nothing_is_taken_from_an_instance_whose_source_is_not_proven_off(world: World) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    with pytest.raises(ResidenceNotProvenError):
        evacuation.prepare()
    proof = world.fence()
    evacuation.prepare()
    assert evacuation.noted() == proof


def test_evacuation_that_has_begun_holds_every_later_boot_of_its_source_and_goes_on(world: World) -> None:
    evacuation = proven(world)
    evacuation.begin()
    for boot in ("boot-2", "boot-3"):
        plan = world.services.hosts.register(world.report("cmp-1", boot))
        assert (plan.held_by, "web-01" in [key.name for key in plan.start]) == (("web-01",), False)
        world.fence("cmp-1", boot)
    to = evacuation.to_authorized()
    evacuation.finish(epoch=to.epoch)
    assert world.services.hosts.register(world.report("cmp-1", "boot-4")).held_by == ()


def test_evacuation_that_has_begun_takes_nothing_once_its_source_was_seen_alive(world: World) -> None:
    evacuation = proven(world)
    evacuation.begin()
    evacuation.claim()
    answer(world)
    with pytest.raises(SourceReturnedError):
        evacuation.prepare()


def test_adopted_evacuation_relies_on_the_boot_that_its_new_run_checked(world: World) -> None:
    world.evacuation().begin()
    world.services.hosts.register(world.report("cmp-1", "boot-2"))
    adopting = world.evacuation(owner="run-2")
    adopting.begin(m.OpenEvacuation(evacuation_id="ev-1", owner="run-1"))
    adopting.claim()
    with pytest.raises(ResidenceNotProvenError):
        adopting.prepare()
    proof = world.fence("cmp-1", "boot-2")
    adopting.prepare()
    assert adopting.noted() == proof


def test_word_about_an_older_boot_that_comes_late_lets_nothing_begin(world: World) -> None:
    checked = world.evacuation()
    new_boot(world)
    checked.proof = world.services.evidence.record_evidence(evidence(kind="operator"))
    with pytest.raises(SourceReturnedError):
        checked.begin()
    assert world.host("cmp-1").state == "up"


def test_fence_holds_nobody_once_its_workflow_is_over(world: World) -> None:
    request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"))
    world.services.evidence.open_fence(request)
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert (plan.held_by, plan.being_cut) == ((), False)


def test_host_is_down_while_its_power_is_cut_and_a_boot_that_registers_waits(world: World) -> None:
    assert cut(world) is None
    assert world.host("cmp-1").state == "down"
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert (plan.being_cut, plan.start, plan.destroy, plan.quarantine) == (True, (), (), ())
    with pytest.raises(StaleAttemptError):
        world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-2"))
    proofs = [evidence(incarnation=boot) for boot in ("boot-1", "boot-2")]
    world.services.evidence.end_cut("cmp-1", ME, proofs)
    assert (world.host("cmp-1").state, world.host("cmp-1").fenced) == ("down", True)
    current = world.services.evidence.current_evidence
    assert [current("cmp-1", boot) for boot in ("boot-1", "boot-2")] == proofs
    plan = world.services.hosts.register(world.report("cmp-1", "boot-3"))
    assert (plan.being_cut, [key.name for key in plan.start]) == (False, ["web-01", "web-02", "db-01"])


def test_host_that_has_booted_again_is_not_cut(world: World) -> None:
    new_boot(world)
    assert str(getattr(cut(world), "kind", None)) == "new-incarnation"
    assert world.host("cmp-1").state == "up"


def test_host_that_registers_for_the_first_time_after_the_check_is_not_cut(world: World) -> None:
    with pytest.raises(SourceReturnedError):
        cut(world, boot=None)
    assert world.host("cmp-1").state == "up"


def test_host_where_others_may_live_is_not_cut_for_one_guest(world: World) -> None:
    with pytest.raises(FenceDeclinedError, match="web-02"):
        cut(world, spare_others=True)
    assert world.host("cmp-1").state == "up"
    assert cut(world, host="cmp-2", name="web-03", spare_others=True) is None
    assert world.host("cmp-2").state == "down"


def test_cut_that_fails_leaves_the_host_as_it_was(world: World) -> None:
    cut(world)
    cut(world)
    world.services.evidence.end_cut("cmp-1", ME, ())
    world.services.evidence.end_cut("cmp-1", ME, ())
    assert world.host("cmp-1").state == "up"


def test_cut_that_fails_leaves_a_host_down_that_booted_under_it(world: World) -> None:
    cut(world)
    world.services.hosts.register(world.report("cmp-1", "boot-2"))
    world.services.evidence.end_cut("cmp-1", ME, ())
    assert world.host("cmp-1").state == "down"
    assert not world.services.hosts.register(world.report("cmp-1", "boot-2")).being_cut


def test_boot_waits_for_the_last_of_two_cuts(world: World) -> None:
    cut(world, ME)
    cut(world, OTHER)
    world.services.evidence.end_cut("cmp-1", ME, ())
    assert world.host("cmp-1").state == "down"
    assert world.services.hosts.register(world.report("cmp-1")).being_cut
    world.services.evidence.end_cut("cmp-1", OTHER, ())
    assert world.host("cmp-1").state == "up"


def test_cut_that_nobody_waits_for_any_more_holds_nobody(world: World) -> None:
    """Its worker died, and its workflow was terminated."""
    cut(world, longest=-1)
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert (plan.being_cut, len(plan.start)) == (False, 3)
    world.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-2"))
    cut(world, OTHER, boot="boot-2")
    world.services.evidence.end_cut("cmp-1", OTHER, ())
    assert world.host("cmp-1").state == "up"


@pytest.mark.parametrize(("longest", "ended"), [(-1, False), (60, True)], ids=["lapsed", "ended"])
def test_cut_that_is_over_is_neither_made_nor_finished_late(world: World, longest: float, ended: bool) -> None:
    evidences, until = world.services.evidence, utc_now() + timedelta(seconds=longest)
    request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"))
    evidences.begin_cut(request, ME, until)
    if ended:
        evidences.require_cut(request, ME, until)
        evidences.end_cut("cmp-1", ME, ())
    before = world.snapshot()
    with pytest.raises(CutOverError):
        evidences.require_cut(request, ME, until)
    with pytest.raises(CutOverError):
        evidences.end_cut("cmp-1", ME, [evidence()], until)
    assert world.snapshot() == before
    evidences.end_cut("cmp-1", ME, (), until)
    assert world.host("cmp-1").state == "up"


def test_cut_that_was_announced_anew_is_the_later_executions(world: World) -> None:
    evidences, until = world.services.evidence, utc_now() + timedelta(seconds=60)
    request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"))
    evidences.begin_cut(request, ME, until)
    evidences.begin_cut(request, ME, until + timedelta(seconds=1))
    for late in (
        lambda: evidences.require_cut(request, ME, until),
        lambda: evidences.end_cut("cmp-1", ME, [evidence()], until),
    ):
        with pytest.raises(CutOverError):
            late()
    evidences.end_cut("cmp-1", ME, (), until)
    assert world.services.hosts.register(world.report("cmp-1")).being_cut
    evidences.require_cut(request, ME, until + timedelta(seconds=1))


def waiting(world: World) -> Evacuation:
    """It found no host, and is to look again."""
    evacuation = proven(world)
    evacuation.begin()
    look_for_a_host(evacuation)
    return evacuation


def look_for_a_host(evacuation: Evacuation) -> None:
    with pytest.raises(CapacityNotYetError):
        evacuation.services.capacity.claim(
            m.ClaimCapacity(ref=evacuation.at(1), target=None, excluded={"cmp-2": "full", "cmp-3": "full"}, wait=True)
        )


def holdings(world: World) -> tuple[object, ...]:
    views = world.services.views
    return (
        views.ports(),
        views.volumes(),
        world.allocations(),
        world.instance().vm_state,
        world.instance().power_state,
    )


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_evacuation_that_only_waits_for_capacity_yields_to_its_source_and_takes_nothing_any_more(
    world: World, boot: str
) -> None:
    evacuation = waiting(world)
    plan = world.bring_up("cmp-1", boot)
    assert (plan.held_by, world.host("cmp-1").state) == ((), "up")
    assert "web-01" in [key.name for key in plan.start]
    before = holdings(world)
    for _ in range(2):
        with pytest.raises(SourceReturnedError):
            evacuation.claim()
    assert evacuation.services.store.begin_undoing(evacuation.at(1)) is False
    evacuation.services.network.unbind(evacuation.at(1))
    evacuation.services.capacity.release(evacuation.at(1))
    evacuation.abandon()
    assert holdings(world) == before
    assert (world.instance().task_state, world.instance().host) == (None, "cmp-1")
    assert world.services.views.migrations()[0].status == "failed"


def test_late_undoing_takes_nothing_from_an_instance_whose_source_has_it_again(world: World) -> None:
    evacuation = waiting(world)
    device = world.services.store.block_devices(evacuation.at(1))[0]
    world.bring_up("cmp-1", "boot-2")
    before = holdings(world)
    for attempt in (1, 0):
        with pytest.raises(StaleAttemptError):
            evacuation.replace(device, attempt, "late", undo=True)
    assert holdings(world) == before


def test_evacuation_that_waited_and_has_its_claim_holds_its_source(world: World) -> None:
    evacuation = waiting(world)
    evacuation.claim()
    assert world.services.hosts.register(world.report("cmp-1", "boot-2")).held_by == ("web-01",)


def test_evacuation_that_was_not_told_to_wait_holds_its_source_before_its_claim(world: World) -> None:
    proven(world).begin()
    assert world.services.hosts.register(world.report("cmp-1", "boot-2")).held_by == ("web-01",)


def test_evacuation_that_yielded_stays_so_when_its_source_dies_again(world: World) -> None:
    evacuation = waiting(world)
    new_boot_that_died(world)
    with pytest.raises(SourceReturnedError):
        evacuation.claim()
    evacuation.abandon(attempt=0)
    again = world.evacuation(evacuation_id="ev-2", owner="run-2")
    again.begin()
    again.to_authorized()


def test_instance_in_error_is_active_again_when_its_evacuation_yielded(world: World) -> None:
    world.fence()
    first = world.evacuation()
    first.begin()
    first.abandon(attempt=0, error=True)
    second = world.evacuation(evacuation_id="ev-2", owner="run-2")
    second.begin()
    look_for_a_host(second)
    world.bring_up("cmp-1", "boot-2")
    second.abandon(attempt=0)
    assert (world.instance().vm_state, world.instance().fault) == ("active", None)
