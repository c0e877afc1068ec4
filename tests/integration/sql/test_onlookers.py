"""Which hosts fall silent with a cut, and whether the one that was cut does: what reads off may be another machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select
from temporalio.testing import ActivityEnvironment

from activities.fencing import FencingActivities
from activities.onlooking import Onlookers
from evacuation import messages as m
from evacuation.errors import FenceFailedError, WrongMachineError
from services.sql.tables import CutRow
from tests.integration.sql.test_cuts import Died, Power
from tests.integration.sql.world import World


class Fleet:
    """The hosts' workers: who answers, in which boot."""

    def __init__(self, **boots: str | None) -> None:
        self.boots: dict[str, str | None] = {name.replace("_", "-"): boot for name, boot in boots.items()}
        self.asked: list[tuple[str, list[str]]] = []
        self.is_there = True
        self.slow: set[str] = set()

    def __call__(
        self, key: str, hosts: Sequence[m.ProbeRequest], *, patiently: bool, beat: Callable[[], None]
    ) -> Mapping[str, str | None] | None:
        beat()
        self.asked.append((key, [each.host for each in hosts]))
        names = [each.host for each in hosts if patiently or each.host not in self.slow]
        return {name: self.boots[name] for name in names if name in self.boots} if self.is_there else None


class Site:
    """cmp-1 is to be cut; cmp-2 and cmp-3 look on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.evidence = world.services.evidence
        self.power = Power()
        self.fleet = Fleet(cmp_2="boot-1", cmp_3="boot-1")
        self.request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"))

    def run(self, name: str, *, attempt: int = 1, activity_id: str = "1") -> Any:
        onlookers = Onlookers(self.world.services.onlookers, self.fleet)
        activities = FencingActivities(self.evidence, self.power, onlookers=onlookers)
        environment = ActivityEnvironment()
        environment.info = replace(
            environment.info, attempt=attempt, activity_id=activity_id, start_to_close_timeout=timedelta(minutes=1)
        )
        return environment.run(getattr(activities, name), self.request)

    def fence(self, **given: Any) -> Any:
        return self.run("fence_source", **given)

    def wrong(self, name: str = "cmp-2") -> None:
        """The order goes to that host's machine."""
        self.power.under_the_cut = lambda: self.fleet.boots.pop(name, None)

    def alarm(self) -> str | None:
        return self.world.host("cmp-1").alarm


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


def test_cut_counts_while_all_who_looked_on_still_answer(site: Site) -> None:
    assert site.fence().kind == "power-off"
    assert site.fleet.asked == [("cmp-1/before", ["cmp-2", "cmp-3"]), ("cmp-1/after", ["cmp-1", "cmp-2", "cmp-3"])]
    assert site.alarm() is None


def test_healthy_host_that_falls_silent_with_the_cut_is_an_alarm_and_proves_nothing(site: Site) -> None:
    site.wrong()
    with pytest.raises(WrongMachineError, match="cmp-2 answered before the power of cmp-1 was cut") as caught:
        site.fence()
    assert not caught.value.retryable and "exchanged" in caught.value.message
    assert site.evidence.current_evidence("cmp-1", "boot-1") is None
    assert site.alarm() == caught.value.message


def test_nothing_more_is_cut_by_a_wrong_entry_nor_proven_by_what_it_reads(site: Site) -> None:
    site.wrong()
    for _ in range(2):
        with pytest.raises(WrongMachineError):
            site.fence()
    assert site.power.cuts == 1
    site.power.on = True
    with pytest.raises(WrongMachineError):
        site.fence(activity_id="another evacuation's")
    site.power.on = False
    with pytest.raises(FenceFailedError):
        site.run("fence_destination")
    assert site.power.cuts == 1 and site.evidence.current_evidence("cmp-1", "boot-1") is None


def test_host_that_answers_in_the_boot_that_reads_off_is_an_alarm(site: Site) -> None:
    site.fleet.boots["cmp-1"] = "boot-1"
    with pytest.raises(WrongMachineError, match="cmp-1 answers still"):
        site.fence()
    assert site.evidence.current_evidence("cmp-1", "boot-1") is None


def test_host_that_has_booted_again_meanwhile_is_none(site: Site) -> None:
    site.fleet.boots["cmp-1"] = "boot-2"
    assert site.fence().incarnation == "boot-1"


def test_slow_answer_is_waited_for(site: Site) -> None:
    site.power.under_the_cut = lambda: site.fleet.slow.add("cmp-2")
    assert site.fence().kind == "power-off"


def test_host_that_was_silent_before_shows_nothing(site: Site) -> None:
    del site.fleet.boots["cmp-2"]
    assert site.fence().kind == "power-off"


def test_cut_is_judged_also_by_whoever_goes_on_with_it(site: Site) -> None:
    """The execution that sent the order died over it: the next one finds the machine off."""

    def die() -> None:
        site.fleet.boots.pop("cmp-2")
        raise Died

    site.power.under_the_cut = die
    with pytest.raises(Died):
        site.fence()
    site.power.on, site.power.under_the_cut = False, lambda: None
    with pytest.raises(WrongMachineError, match="cmp-2"):
        site.fence(attempt=2)
    assert site.evidence.current_evidence("cmp-1", "boot-1") is None
    assert site.world.services.database.read(_cuts) == []


def test_cut_of_another_evacuation_is_judged_by_what_the_first_one_saw(site: Site) -> None:
    def die() -> None:
        site.fleet.boots.pop("cmp-2")
        raise Died

    site.power.under_the_cut = die
    with pytest.raises(Died):
        site.fence()
    site.power.on, site.power.under_the_cut = False, lambda: None
    with pytest.raises(WrongMachineError, match="cmp-2"):
        site.fence(activity_id="another evacuation's")


def test_person_who_has_mended_the_entries_cuts_anew(site: Site) -> None:
    site.wrong()
    with pytest.raises(WrongMachineError):
        site.fence()
    site.power.on, site.power.under_the_cut = True, lambda: None
    site.run("cut_power")
    assert site.evidence.current_evidence("cmp-1", "boot-1") is not None and site.alarm() is None


def test_person_who_has_not_mended_them_meets_the_alarm_again(site: Site) -> None:
    site.wrong()
    with pytest.raises(WrongMachineError):
        site.fence()
    site.wrong("cmp-3")
    with pytest.raises(WrongMachineError, match="cmp-3"):
        site.run("cut_power")
    assert "cmp-3" in (site.alarm() or "")


def test_next_boot_of_the_host_has_no_alarm(site: Site) -> None:
    site.wrong()
    with pytest.raises(WrongMachineError):
        site.fence()
    site.world.bring_up("cmp-1", "boot-2")
    assert site.alarm() is None


def test_where_nobody_can_be_asked_the_power_says_what_it_says(site: Site) -> None:
    site.power.under_the_cut = lambda: setattr(site.fleet, "is_there", False)
    assert site.fence().kind == "power-off"


def test_nearest_hosts_that_are_up_look_on(site: Site) -> None:
    site.world.fence("cmp-3")
    assert [each.host for each in site.world.services.onlookers.around("cmp-1")] == ["cmp-2"]
    assert [each.hypervisor_uuid for each in site.world.services.onlookers.around("cmp-1")] == ["uuid-cmp-2"]


def _cuts(session: Session) -> list[CutRow]:
    return list(session.exec(select(CutRow)).all())
