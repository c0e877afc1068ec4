"""A source comes back at the very moment at which an evacuation begins, claims, or is cut for: one of them is first."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TypeVar

import pytest

from evacuation import messages as m
from evacuation.errors import CapacityNotYetError, SourceReturnedError
from evacuation.fleet import Fleet
from services.sql import SqlServices
from services.sql.tables import utc_now
from tests.integration.sql.world import Evacuation, World, host, instance

MANY = 12
T = TypeVar("T")


@pytest.fixture
def crowd(services: SqlServices) -> World:
    """Each on a host of its own, so that each is a race of its own, and one with room for all."""
    names = [f"vm-{n:02d}" for n in range(MANY)]
    hosts = [host(f"of-{name}", vcpus=1) for name in names]
    fleet = {
        "hosts": [*hosts, host("cmp-9", vcpus=MANY, max_evacuations=MANY)],
        "instances": [instance(n, f"of-{n}") for n in names],
    }
    return World(services, Fleet.model_validate(fleet))


class Race:
    """One instance, its evacuation, and its source."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.name = world, f"vm-{number:02d}"
        self.source = f"of-{self.name}"
        world.fence(self.source)
        self.evacuation: Evacuation = world.evacuation(self.name, f"ev-{number}")

    def begin(self) -> bool:
        return _happens(self.evacuation.begin)

    def wait_for_capacity(self) -> None:
        self.evacuation.begin()
        with pytest.raises(CapacityNotYetError):
            self.world.services.capacity.claim(
                m.ClaimCapacity(ref=self.evacuation.at(1), target=None, excluded={"cmp-9": "full"}, wait=True)
            )

    def claim(self) -> bool:
        return _happens(lambda: self.evacuation.claim(target="cmp-9"))

    def authorize(self) -> bool:
        return _happens(lambda: self.evacuation.authorize(host="cmp-9"))

    def cut(self) -> bool:
        request = m.FenceRequest(host=self.source, incarnation="boot-1", instance_id=self.world.id_of(self.name))
        until = utc_now() + timedelta(minutes=1)
        return self.world.services.evidence.begin_cut(request, "me", until) is None

    def come_back(self, boot: str = "boot-2") -> m.ReturnPlan:
        return self.world.services.hosts.register(self.world.report(self.source, boot))

    def starts_at_home(self, plan: m.ReturnPlan) -> bool:
        return self.name in [key.name for key in plan.start]


def _happens(call: Callable[[], object]) -> bool:
    try:
        call()
    except SourceReturnedError:
        return False
    return True


def at_once(pairs: list[tuple[Callable[[], bool], Callable[[], m.ReturnPlan]]]) -> list[tuple[bool, m.ReturnPlan]]:
    """Every pair starts together, and all pairs do."""
    barrier = Barrier(2 * len(pairs))

    def run(call: Callable[[], T]) -> T:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(2 * len(pairs)) as pool:
        ends = [(pool.submit(run, first), pool.submit(run, second)) for first, second in pairs]
        return [(first.result(60), second.result(60)) for first, second in ends]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_evacuation_begins_and_holds_its_source_or_the_source_has_the_instance(crowd: World, boot: str) -> None:
    races = [Race(crowd, n) for n in range(MANY)]
    for race, (began, plan) in zip(
        races, at_once([(r.begin, lambda r=r: r.come_back(boot)) for r in races]), strict=True
    ):
        assert (plan.held_by, race.starts_at_home(plan)) == (((race.name,), False) if began else ((), True))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_claim_that_was_waited_for_is_made_or_the_source_has_the_instance(crowd: World, boot: str) -> None:
    races = [Race(crowd, n) for n in range(MANY)]
    for race in races:
        race.wait_for_capacity()
    for race, (claimed, plan) in zip(
        races, at_once([(r.claim, lambda r=r: r.come_back(boot)) for r in races]), strict=True
    ):
        assert (plan.held_by, race.starts_at_home(plan)) == (((race.name,), False) if claimed else ((), True))


@pytest.mark.timeout(180)
def test_boot_waits_for_the_cut_or_is_not_cut(crowd: World) -> None:
    races = [Race(crowd, n) for n in range(MANY)]
    for race in races:
        crowd.services.evidence.void_evidence(race.source, "boot-1", "not said yet")
    for race, (cut, plan) in zip(races, at_once([(r.cut, r.come_back) for r in races]), strict=True):
        assert (plan.being_cut, race.starts_at_home(plan)) == (cut, not cut)


@pytest.mark.timeout(180)
def test_start_elsewhere_is_authorised_by_evidence_that_nobody_has_voided_before(crowd: World) -> None:
    """A proof that is written stands; one that was voided is not written."""
    races = [Race(crowd, n) for n in range(MANY)]
    for race in races:
        race.evacuation.begin()
        race.evacuation.claim(target="cmp-9")
    calls = [(lambda r=r: r.authorize(), lambda r=r: r.come_back("boot-1")) for r in races]
    for race, (authorized, plan) in zip(races, at_once(calls), strict=True):
        assert plan.held_by == (race.name,)
        proven = [r.proof for r in crowd.services.views.residences() if (r.instance, r.epoch) == (race.name, 1)]
        assert (proven[0] is not None) == authorized
