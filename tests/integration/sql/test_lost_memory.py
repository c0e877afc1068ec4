"""A host that has lost what it remembered of a boot: everything that may have been called off there is again."""

import pytest

from evacuation import messages as m
from evacuation.model import PowerState
from tests.integration.sql.world import World, evidence


def said(world: World, host: str, memory: str | None, boot: str = "boot-1", *running: tuple[str, int]) -> m.HostReport:
    guests = tuple(
        m.GuestState(instance_id=world.id_of(name), epoch=epoch, power_state=PowerState.RUNNING)
        for name, epoch in running
    )
    return world.report(host, boot, guests).model_copy(update={"memory": memory})


def come_back(world: World, report: m.HostReport) -> m.ReturnPlan:
    plan = world.services.hosts.register(report)
    world.services.hosts.complete_return(
        m.ReturnedHost(host=report.host, incarnation=report.incarnation, memory=report.memory)
    )
    return plan


def buried(plan: m.ReturnPlan) -> dict[str, int]:
    return {guest.name: guest.epoch for guest in plan.bury}


@pytest.fixture
def called_off(world: World) -> World:
    """Epoch 2 of web-01 was authorised on cmp-2, and called off there."""
    come_back(world, said(world, "cmp-2", "first"))
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    return world


def test_worker_that_remembers_has_nothing_to_bury(called_off: World) -> None:
    assert buried(come_back(called_off, said(called_off, "cmp-2", "first"))) == {}


def test_what_was_given_to_a_host_is_called_off_again_once_it_has_forgotten(called_off: World) -> None:
    assert buried(called_off.services.hosts.register(said(called_off, "cmp-2", "second"))) == {"web-01": 2}


def test_what_runs_by_right_is_not_called_off(called_off: World) -> None:
    plan = called_off.services.hosts.register(said(called_off, "cmp-2", "second", "boot-1", ("web-01", 2)))
    assert buried(plan) == {"web-01": 1}


def test_what_is_proven_gone_is_called_off_though_it_runs_and_is_destroyed(called_off: World) -> None:
    evacuation = called_off.evacuation()
    gone = evidence("cmp-2", "boot-1", "guest-gone")
    called_off.services.store.record_guest_gone(m.RecordGuestGone(ref=evacuation.at(1), evidence=gone))
    plan = called_off.services.hosts.register(said(called_off, "cmp-2", "second", "boot-1", ("web-01", 2)))
    assert buried(plan) == {"web-01": 2}
    assert plan.destroy == () and [(each.name, each.epoch) for each in plan.quarantine] == [("web-01", 2)]


def test_loss_stands_until_the_host_has_come_back(called_off: World) -> None:
    for memory in ("second", "first", "third"):
        assert buried(called_off.services.hosts.register(said(called_off, "cmp-2", memory))) == {"web-01": 2}
    come_back(called_off, said(called_off, "cmp-2", "third"))
    assert buried(called_off.services.hosts.register(said(called_off, "cmp-2", "third"))) == {}
    assert buried(called_off.services.hosts.register(said(called_off, "cmp-2", "first"))) == {"web-01": 2}


def test_another_boot_has_forgotten_nothing_that_counts(called_off: World) -> None:
    assert buried(called_off.services.hosts.register(said(called_off, "cmp-2", "second", "boot-2"))) == {}
    assert buried(called_off.services.hosts.register(said(called_off, "cmp-2", "third", "boot-2"))) == {}


def test_worker_of_an_older_release_is_not_asked_to_bury(called_off: World) -> None:
    assert buried(come_back(called_off, said(called_off, "cmp-2", None))) == {}
    assert buried(come_back(called_off, said(called_off, "cmp-2", "first"))) == {}


def test_host_that_stayed_up_and_forgot_starts_nothing_and_keeps_what_is_at_rest(world: World) -> None:
    come_back(world, said(world, "cmp-1", "first"))
    plan = world.services.hosts.register(said(world, "cmp-1", "second", "boot-1", ("web-01", 1)))
    assert plan.start == plan.destroy == plan.quarantine == plan.held_by == ()
    assert buried(plan) == {}
    assert world.host("cmp-1").state == "up"
