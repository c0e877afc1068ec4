"""A guest that runs where no residence is: nothing of its instance starts, until its place is settled."""

from collections.abc import Callable

import pytest

from evacuation import messages as m
from evacuation.capabilities import HostCapabilities, SeenDomain
from evacuation.errors import (
    EvacuationRunningError,
    FenceDeclinedError,
    InstanceMisplacedError,
    NotMovedError,
    PowerUnreadError,
)
from evacuation.model import PowerState, VmState
from evacuation.request import check
from tests.integration.sql.test_in_place import InPlace
from tests.integration.sql.world import NOW, World, evidence


def guest(
    world: World, epoch: int = 1, *, name: str = "web-01", paused: bool = False, runs: bool = True
) -> m.GuestState:
    power = PowerState.RUNNING if runs else PowerState.SHUTDOWN
    return m.GuestState(instance_id=world.id_of(name), epoch=epoch, power_state=power, paused=paused)


def reports(
    world: World, host: str, *epochs: int, boot: str = "boot-1", active: bool = True, name: str = "web-01"
) -> None:
    """What the host's worker tells of itself every few seconds, at most one guest."""
    domains = tuple(
        SeenDomain(id=world.id_of(name), name=name, active=active, epoch=epoch, state="running") for epoch in epochs
    )
    said = m.HypervisorReport(host=host, incarnation=boot, at=NOW, capabilities=HostCapabilities(domains=domains))
    world.services.hosts.record_report(said)


def seen(world: World, name: str = "web-01") -> list[tuple[str, int]]:
    return [(each.host, each.epoch) for each in world.instance(name).seen_elsewhere]


def live(world: World) -> list[tuple[str, int]]:
    rows = world.services.views.residences()
    return [(row.host, row.epoch) for row in rows if row.instance == "web-01" and row.proof is None]


@pytest.fixture
def moved(world: World) -> World:
    """web-01 was migrated from cmp-1 to cmp-3 by somebody, and cmp-1 is off since."""
    reports(world, "cmp-3", 1)
    world.fence()
    return world


def test_guest_that_a_host_reports_where_no_residence_is_is_seen_until_the_host_has_it_no_more(world: World) -> None:
    reports(world, "cmp-3", 1)
    assert seen(world) == [("cmp-3", 1)]
    assert seen(world, "web-02") == []
    reports(world, "cmp-3")
    assert seen(world) == []


def test_guest_is_no_sighting_where_it_may_be_and_where_it_does_not_run(world: World) -> None:
    reports(world, "cmp-1", 1)
    reports(world, "cmp-2", 1, active=False)
    assert seen(world) == []


def test_guest_of_a_residence_that_was_given_before_the_report_is_no_sighting(world: World) -> None:
    world.fence()
    world.evacuation().recover()
    reports(world, "cmp-2", 2)
    assert seen(world) == []


def test_guest_without_a_mark_and_one_of_an_old_epoch_are_seen_too(world: World) -> None:
    world.fence()
    world.evacuation().recover()
    for epoch in (0, 1):
        reports(world, "cmp-3", epoch)
        assert seen(world) == [("cmp-3", epoch)]


def test_report_of_another_boot_than_the_registered_one_says_nothing(world: World) -> None:
    reports(world, "cmp-3", 1, boot="boot-0")
    assert seen(world) == []


@pytest.mark.parametrize(
    "over", [lambda w: w.fence("cmp-3"), lambda w: w.bring_up("cmp-3", "boot-2")], ids=["off", "boots"]
)
def test_sighting_is_over_with_its_boot(moved: World, over: Callable[[World], object]) -> None:
    over(moved)
    assert seen(moved) == []
    moved.evacuation().recover()


def test_request_is_refused_with_the_place_and_before_anything_is_fenced(moved: World) -> None:
    facts = moved.services.store.check_facts(moved.id_of("web-01"))
    request = m.EvacuationRequest(request_id="r", instance_id=moved.id_of("web-01"))
    with pytest.raises(InstanceMisplacedError, match=r"cmp-3 \(epoch 1, running\).*recorded on cmp-1") as refused:
        check(request, facts, can_fence=True)
    assert "evacuate instance moved web-01" in refused.value.remedy


def test_evacuation_that_was_checked_before_does_not_begin(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    reports(world, "cmp-3", 1)
    before = world.snapshot()
    with pytest.raises(InstanceMisplacedError):
        evacuation.begin()
    assert world.snapshot() == before


@pytest.mark.parametrize("host", ["cmp-2", "cmp-3"], ids=["its destination", "another host"])
def test_evacuation_that_has_begun_starts_nothing(world: World, host: str) -> None:
    """On its destination, too: what starts there destroys what it finds."""
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.prepare()
    reports(world, host, 1)
    with pytest.raises(InstanceMisplacedError, match=host):
        evacuation.authorize()
    assert live(world) == [("cmp-1", 1)]
    reports(world, host)
    evacuation.authorize()
    assert live(world) == [("cmp-2", 2)]


def test_word_that_the_host_of_a_sighting_is_off_counts_once_its_power_was_read(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.prepare()
    reports(world, "cmp-3", 1)
    world.services.evidence.record_evidence(evidence("cmp-3", kind="operator"))
    with pytest.raises(PowerUnreadError) as asked:
        evacuation.authorize()
    assert [each.host for each in asked.value.hosts] == ["cmp-3"]


def test_host_that_comes_back_serves_and_does_not_start_what_was_seen_elsewhere(moved: World) -> None:
    plan = moved.services.hosts.register(moved.report("cmp-1", "boot-2"))
    key = next(each for each in plan.start if each.name == "web-01")
    with pytest.raises(InstanceMisplacedError, match="cmp-3"):
        moved.start(key, "cmp-1", "boot-2")
    others = [each for each in plan.start if each.name != "web-01"]
    for each in others:
        moved.start(each, "cmp-1", "boot-2")
    moved.services.hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-2"))
    assert (len(others), moved.host("cmp-1").state) == (2, "up")


def test_start_and_stop_in_place_are_refused(world: World) -> None:
    waiting = InPlace(world)
    reports(world, "cmp-3", 1)
    with pytest.raises(InstanceMisplacedError, match="cmp-3"):
        InPlace(world)
    for wanted in (VmState.ACTIVE, VmState.STOPPED):
        with pytest.raises(InstanceMisplacedError, match="cmp-3"):
            waiting.authorize(wanted)


def test_host_that_registers_again_tells_of_guests_too(world: World) -> None:
    """Of every hypervisor; one that is to be destroyed there is in the way until that is done."""
    report = world.report("cmp-3", guests=(guest(world),))
    plan = world.services.hosts.register(report)
    assert (plan.destroy, seen(world)) == ((), [("cmp-3", 1)])
    world.services.hosts.register(world.report("cmp-3"))
    assert seen(world) == []


def test_leftover_on_a_host_that_comes_back_is_destroyed_and_seen_until_then(world: World) -> None:
    world.fence()
    world.evacuation().recover()
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2", (guest(world),)))
    assert [(each.name, each.epoch) for each in plan.destroy] == [("web-01", 1)]
    assert seen(world) == [("cmp-1", 1)]
    gone = m.HostGuest(host="cmp-1", incarnation="boot-2", instance_id=world.id_of("web-01"), epoch=1)
    world.services.hosts.record_destroyed(gone)
    assert seen(world) == []


@pytest.mark.parametrize("mark", [0, 1], ids=["not marked yet", "marked"])
def test_only_copy_that_was_migrated_is_not_destroyed_when_its_host_is_reconciled(world: World, mark: int) -> None:
    """By its mark it is the guest that may run; a host that was taken for lost comes back in the same boot."""
    world.services.evidence.record_evidence(evidence("cmp-3", kind="operator"))
    plan = world.services.hosts.register(world.report("cmp-3", guests=(guest(world, mark),)))
    assert (plan.destroy, plan.quarantine) == ((), ())
    assert seen(world) == [("cmp-3", mark)]


def test_guest_that_a_returning_source_has_paused_holds_up_no_evacuation(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.prepare()
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2", (guest(world),)))
    assert [each.name for each in plan.quarantine] == ["web-01"]
    evacuation.authorize()
    assert live(world) == [("cmp-2", 2)]


def test_look_keeps_what_hosts_have_and_drops_what_they_have_no_more(world: World) -> None:
    look = (world.id_of("web-01"),)
    world.services.hosts.record_look(look, [world.report("cmp-3", guests=(guest(world), guest(world, name="web-02")))])
    assert (seen(world), seen(world, "web-02")) == ([("cmp-3", 1)], [])
    reports(world, "cmp-2", 1, name="web-02")
    world.services.hosts.record_look(
        look, [world.report("cmp-2"), world.report("cmp-3", guests=(guest(world, runs=False),))]
    )
    assert (seen(world), seen(world, "web-02")) == ([], [("cmp-2", 1)])
    world.services.hosts.record_look(look, [world.report("cmp-3", "boot-0", (guest(world),))])
    assert seen(world) == []


def test_look_at_a_boot_that_is_over_says_nothing_of_the_one_that_is(world: World) -> None:
    reports(world, "cmp-3", 1)
    world.services.hosts.record_look((world.id_of("web-01"),), [world.report("cmp-3", "boot-0")])
    assert seen(world) == [("cmp-3", 1)]


def test_host_is_not_switched_off_for_another_guest_over_one_that_was_seen_there(world: World) -> None:
    reports(world, "cmp-3", 1)
    request = m.FenceRequest(host="cmp-3", incarnation="boot-1", instance_id=world.id_of("db-01"), spare_others=True)
    with pytest.raises(FenceDeclinedError, match="web-01"):
        world.services.evidence.begin_cut(request, "run-1", NOW)


def follow(world: World, *reports: m.HostReport) -> None:
    plan = world.services.hosts.plan_follow(world.id_of("web-01"))
    world.services.hosts.follow(m.FollowInstance(residence=plan.residence, reports=reports, who="ann"))


def test_residence_follows_its_guest_with_all_that_the_instance_holds(moved: World) -> None:
    moved.services.evidence.void_evidence("cmp-1", "boot-1", "it answers")
    before = moved.services.exports.wanted()
    follow(moved, moved.report("cmp-1"), moved.report("cmp-3", guests=(guest(moved),)))
    row, views = moved.instance(), moved.services.views
    assert (row.host, row.vm_state, row.power_state, row.task_state) == ("cmp-3", "active", "running", None)
    assert (live(moved), seen(moved), moved.allocations()) == ([("cmp-3", 1)], [], {("instance", "cmp-3")})
    assert {(port.host, port.status) for port in views.ports()} == {("cmp-3", "ACTIVE")}
    assert {(a.host, a.status) for v in views.volumes() for a in v.attachments} == {("cmp-3", "attached")}
    assert before and moved.services.exports.wanted() == before, "its disks stay open by the names that it has opened"
    left = next(each for each in views.residences() if each.instance == "web-01")
    assert [each.split(":")[0] for each in left.moved_from] == ["cmp-1"]


def test_residence_follows_from_a_host_that_is_proven_off_and_is_evacuated_from_where_it_is(moved: World) -> None:
    follow(moved, moved.report("cmp-3", guests=(guest(moved),)))
    moved.fence("cmp-3")
    moved.evacuation().recover()
    assert (live(moved), moved.instance().host) == ([("cmp-2", 2)], "cmp-2")


def test_old_host_that_comes_back_starts_nothing_of_what_has_moved(moved: World) -> None:
    follow(moved, moved.report("cmp-3", guests=(guest(moved),)))
    plan = moved.bring_up("cmp-1", "boot-2")
    assert "web-01" not in [each.name for each in plan.start]
    assert "web-01" not in [each.name for each in moved.services.hosts.register(moved.report("cmp-3")).destroy]


def test_following_has_one_result_when_it_is_repeated(moved: World) -> None:
    plan = moved.services.hosts.plan_follow(moved.id_of("web-01"))
    found = (moved.report("cmp-3", guests=(guest(moved),)),)
    message = m.FollowInstance(residence=plan.residence, reports=found, who="ann")
    moved.services.hosts.follow(message)
    once = moved.snapshot()
    moved.services.hosts.follow(message)
    assert moved.snapshot() == once


def test_residence_follows_as_often_as_its_guest_is_migrated_there_and_back(world: World) -> None:
    """Each host that it has left is one that it may come from again."""
    for to in ("cmp-3", "cmp-1", "cmp-3", "cmp-1", "cmp-2", "cmp-1"):
        others = [each for each in ("cmp-1", "cmp-2", "cmp-3") if each != to]
        follow(world, *map(world.report, others), world.report(to, guests=(guest(world),)))
        assert (live(world), world.instance().host) == ([(to, 1)], to)


def test_residence_that_has_not_followed_says_so_on_the_way_back_too(world: World) -> None:
    for to, left in (("cmp-3", "cmp-1"), ("cmp-1", "cmp-3")):
        follow(world, world.report(left), world.report(to, guests=(guest(world),)))
    with pytest.raises(NotMovedError, match="no host that answers has"):
        follow(world, world.report("cmp-1"), world.report("cmp-3"))


def test_who_is_asked_are_hosts_that_are_up_its_own_and_those_where_it_was_seen(moved: World) -> None:
    moved.services.evidence.record_evidence(evidence("cmp-3"))
    plan = moved.services.hosts.plan_follow(moved.id_of("web-01"))
    assert [each.host for each in plan.hosts] == ["cmp-1", "cmp-2", "cmp-3"]


@pytest.mark.parametrize(
    ("why", "found"),
    [
        ("no host that answers has", lambda w: [w.report("cmp-1"), w.report("cmp-3")]),
        ("on cmp-1 .* and on cmp-3", lambda w: [w.report(each, guests=(guest(w),)) for each in ("cmp-1", "cmp-3")]),
        ("on cmp-2 .* and on cmp-3", lambda w: [w.report(each, guests=(guest(w),)) for each in ("cmp-2", "cmp-3")]),
        ("where it is recorded", lambda w: [w.report("cmp-1", guests=(guest(w),)), w.report("cmp-3")]),
        ("it is a copy", lambda w: [w.report("cmp-1"), w.report("cmp-3", guests=(guest(w, 7),))]),
        ("is paused on cmp-3", lambda w: [w.report("cmp-1"), w.report("cmp-3", guests=(guest(w, paused=True),))]),
        ("not in service", lambda w: [w.report("cmp-1"), w.report("cmp-3", "boot-9", (guest(w),))]),
        ("cmp-1.* does not answer", lambda w: [w.report("cmp-3", guests=(guest(w),))]),
        ("cmp-1.* does not answer", lambda w: [w.report("cmp-1", "boot-9"), w.report("cmp-3", guests=(guest(w),))]),
    ],
)
def test_residence_stays_where_it_is(world: World, why: str, found: Callable[[World], list[m.HostReport]]) -> None:
    reports(world, "cmp-3", 1)
    before = world.snapshot()
    with pytest.raises(NotMovedError, match=why):
        follow(world, *found(world))
    assert world.snapshot() == before


@pytest.mark.parametrize(("who", "then"), [("cmp-1", "start"), ("cmp-3", "evacuate")])
def test_guest_that_is_nowhere_is_started_where_its_host_answers_and_evacuated_where_not(
    world: World, who: str, then: str
) -> None:
    with pytest.raises(NotMovedError) as refused:
        follow(world, world.report(who))
    assert refused.value.remedy.endswith(f"evacuate instance {then} web-01")


def test_guest_without_a_mark_is_that_of_the_first_epoch(moved: World) -> None:
    follow(moved, moved.report("cmp-3", guests=(guest(moved, 0),)))
    assert live(moved) == [("cmp-3", 1)]


def test_residence_that_changed_meanwhile_stays(moved: World) -> None:
    plan = moved.services.hosts.plan_follow(moved.id_of("web-01"))
    other = plan.residence.model_copy(update={"epoch": 7})
    message = m.FollowInstance(residence=other, reports=(moved.report("cmp-3", guests=(guest(moved),)),), who="ann")
    with pytest.raises(NotMovedError, match="changed meanwhile"):
        moved.services.hosts.follow(message)


def test_residence_does_not_follow_while_an_evacuation_is_open(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.prepare()
    evacuation.authorize()
    with pytest.raises(EvacuationRunningError, match="an evacuation of web-01 is open"):
        world.services.hosts.plan_follow(world.id_of("web-01"))


def test_check_names_both_places(moved: World) -> None:
    rows = moved.services.views.everything()
    (one,) = rows.sightings
    assert (one.host, one.epoch, one.state) == ("cmp-3", 1, "running")
