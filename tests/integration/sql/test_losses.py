"""Hosts that were lost while an instance started there: kept with the proof, held against it, pardoned by a person."""

from datetime import UTC, datetime, timedelta

import pytest

from evacuation import messages as m
from evacuation.errors import CapacityNotYetError, FenceDeclinedError, NoValidHostError, PoisonousStartError
from evacuation.model import Evidence, EvidenceKind
from evacuation.poison import Loss
from evacuation.request import check
from tests.integration.sql.world import Evacuation, World

KINDS = EvidenceKind


def proof(world: World, host: str, *, kind: EvidenceKind = KINDS.POWER_OFF, cut: bool = False) -> Evidence:
    """As whoever makes it records it."""
    said = Evidence(
        kind=kind, host=host, incarnation="boot-1", who="bmc", reason="read back: off", at=datetime.now(UTC), cut=cut
    )
    return said if kind is KINDS.GUEST_GONE else world.services.evidence.record_evidence(said)


def lose(
    evacuation: Evacuation,
    attempt: int,
    host: str,
    *,
    kind: EvidenceKind = KINDS.POWER_OFF,
    cut: bool = False,
    begun: bool = True,
) -> None:
    """The attempt starts its guest there, the host is lost, and everything is undone."""
    evacuation.to_authorized(attempt, host)
    evidence = proof(evacuation.world, host, kind=kind, cut=cut)
    message = m.RecordGuestGone(ref=evacuation.at(attempt), evidence=evidence, begun=begun)
    evacuation.services.store.record_guest_gone(message)
    evacuation.services.store.record_guest_gone(message)
    evacuation.tear_down(attempt)


def begun(world: World, evacuation_id: str = "ev-1") -> Evacuation:
    world.fence()
    evacuation = world.evacuation(evacuation_id=evacuation_id, owner=f"run of {evacuation_id}")
    evacuation.begin()
    return evacuation


def losses(world: World) -> tuple[Loss, ...]:
    return world.services.store.check_facts(world.id_of("web-01")).losses


def cut_for(world: World, host: str, name: str = "web-01") -> Evidence | None:
    request = m.FenceRequest(host=host, incarnation="boot-1", instance_id=world.id_of(name), spare_others=True)
    until = datetime.now(UTC) + timedelta(minutes=1)
    return world.services.evidence.begin_cut(request, "me", until)


def pardon(world: World) -> tuple[str, ...]:
    return world.services.store.pardon(world.id_of("web-01"), who="ann", said="looked at it")


def test_worker_that_the_start_cost_is_kept_and_no_other_host_is_claimed(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", cut=True)
    assert [(each.host, each.by_itself, each.cut) for each in losses(world)] == [("cmp-2", False, True)]
    before = world.allocations()
    with pytest.raises(PoisonousStartError, match="the start of web-01 cost cmp-2 its worker"):
        evacuation.claim(2, target=None)
    assert world.allocations() == before


def test_machine_that_went_down_by_itself_is_followed_by_the_next_and_by_no_third(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2")
    lose(evacuation, 2, "cmp-3")
    world.bring_up("cmp-2", "boot-2")
    with pytest.raises(PoisonousStartError, match="cmp-2, cmp-3 went down, one after the other"):
        evacuation.claim(3, target=None)


def test_start_that_no_worker_took_up_cost_nothing(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", cut=True, begun=False)
    assert losses(world) == ()
    assert evacuation.claim(2, target=None).host == "cmp-3"


def test_destination_that_answers_is_not_lost(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", kind=KINDS.GUEST_GONE)
    assert losses(world) == ()


def test_boot_that_was_cut_is_no_machine_that_booted_by_itself(world: World) -> None:
    evacuation = begun(world)
    evacuation.to_authorized(1, "cmp-2")
    proof(world, "cmp-2", cut=True)
    world.services.hosts.register(world.report("cmp-2", "boot-2"))
    new = Evidence(
        kind=KINDS.NEW_INCARNATION,
        host="cmp-2",
        incarnation="boot-1",
        who="cmp-2",
        reason="booted again",
        at=datetime.now(UTC),
    )
    evacuation.services.store.record_guest_gone(m.RecordGuestGone(ref=evacuation.at(1), evidence=new))
    assert [(each.by_itself, each.cut) for each in losses(world)] == [(False, True)]


def test_nothing_is_held_against_it_where_there_is_no_other_host_anyway(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", cut=True)
    with pytest.raises(NoValidHostError):
        evacuation.claim(2, target="cmp-2")
    with pytest.raises(CapacityNotYetError):
        evacuation.claim(2, target="cmp-2", wait=True)


def test_source_that_comes_back_has_an_instance_again_that_is_sent_nowhere(world: World) -> None:
    """As one that waits for capacity."""
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", cut=True)
    with pytest.raises(PoisonousStartError):
        evacuation.claim(2, target=None)
    assert [key.instance_id for key in world.services.hosts.register(world.report("cmp-1", "boot-2")).start]


def test_next_request_is_refused_until_a_person_says_so(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", cut=True)
    evacuation.abandon(1)
    instance = world.id_of("web-01")
    asked = m.EvacuationRequest(request_id="r", instance_id=instance)
    with pytest.raises(PoisonousStartError) as caught:
        check(asked, world.services.store.check_facts(instance), can_fence=True)
    assert "evacuate instance retry web-01" in caught.value.remedy
    obstacles = {each.name: each.reasons for each in world.services.views.preflight("cmp-1")}
    assert any("sent to no other host" in reason for reason in obstacles["web-01"])
    assert pardon(world) == ("cmp-2",)
    assert pardon(world) == ()
    check(asked, world.services.store.check_facts(instance), can_fence=True)
    again = begun(world, "ev-2")
    assert again.claim(1, target=None).host == "cmp-3"


def test_pardon_is_kept_with_the_loss_and_does_not_cover_the_next(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", cut=True)
    pardon(world)
    lose(evacuation, 2, "cmp-3", cut=True)
    world.bring_up("cmp-2", "boot-2")
    assert [each.pardon is not None for each in losses(world)] == [True, False]
    with pytest.raises(PoisonousStartError, match="cost cmp-3 its worker"):
        evacuation.claim(3, target=None)


def test_no_second_host_is_cut_for_one_instance_whatever_a_person_says(world: World) -> None:
    evacuation = begun(world)
    evacuation.to_authorized(1, "cmp-2")
    world.services.evidence.end_cut("cmp-2", "me", ())
    lose_now = proof(world, "cmp-2", cut=True)
    evacuation.services.store.record_guest_gone(m.RecordGuestGone(ref=evacuation.at(1), evidence=lose_now))
    assert cut_for(world, "cmp-2") is not None, "the same host is proven off already"
    evacuation.tear_down(1)
    pardon(world)
    evacuation.to_authorized(2, "cmp-3")
    with pytest.raises(FenceDeclinedError, match="cmp-3 is not switched off: cmp-2 was already"):
        cut_for(world, "cmp-3")
    assert world.host("cmp-3").state == "up"


def test_machine_that_went_down_by_itself_does_not_keep_the_next_from_being_cut(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2")
    evacuation.to_authorized(2, "cmp-3")
    assert cut_for(world, "cmp-3") is None


def test_what_was_lost_before_it_last_ran_is_over(world: World) -> None:
    evacuation = begun(world)
    lose(evacuation, 1, "cmp-2", cut=True)
    pardon(world)
    evacuation.finish(2, "cmp-3", evacuation.to_authorized(2, "cmp-3").epoch)
    assert losses(world) == ()
