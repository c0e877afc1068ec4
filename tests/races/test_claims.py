"""Claims at once: never oversubscribed, and nobody is turned away who fits."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from evacuation import messages as m
from evacuation.errors import NoValidHostError
from evacuation.fleet import Fleet
from services.sql import SqlServices
from tests.integration.sql.world import Evacuation, World, host, instance
from tests.races.claims import NO_HOST, begin_all, claim_all, claim_in_process, crowd, meet

INSTANCES, FIT, PROCESSES = 200, 150, 4
ROUNDS = 8


def verify(world: World, evacuations: list[Evacuation], answers: list[str]) -> None:
    assert Counter(answer == NO_HOST for answer in answers) == {False: FIT, True: INSTANCES - FIT}
    for each in world.services.views.hosts():
        assert (each.vcpus_used, each.memory_mb_used) <= (each.vcpus, each.memory_mb), each.name
        if each.name != "cmp-0":
            assert each.vcpus_used == each.vcpus == answers.count(each.name)
    epochs = [row.epoch for row in world.services.views.instances()]
    assert Counter(epochs) == {2: FIT, 1: INSTANCES - FIT}, "an epoch for each claim, and for nobody else"
    assert len({e.ref.evacuation_id for e in evacuations}) == INSTANCES


@pytest.mark.timeout(180)
def test_claims_of_threads_fill_every_host_and_none_beyond(services: SqlServices) -> None:
    world = crowd(services, INSTANCES, fit=FIT)
    evacuations = begin_all(world, INSTANCES)
    verify(world, evacuations, claim_all(services, [each.at(1) for each in evacuations]))


@pytest.mark.timeout(180)
def test_claims_of_processes_fill_every_host_and_none_beyond(services: SqlServices, url: str) -> None:
    world = crowd(services, INSTANCES, fit=FIT)
    evacuations = begin_all(world, INSTANCES)
    refs = [each.at(1) for each in evacuations]
    parts = [refs[n::PROCESSES] for n in range(PROCESSES)]
    spawn = get_context("spawn")
    with ProcessPoolExecutor(
        PROCESSES, mp_context=spawn, initializer=meet, initargs=(spawn.Barrier(PROCESSES),)
    ) as pool:
        answers = [answer for part in pool.map(claim_in_process, [url] * PROCESSES, parts) for answer in part]
    verify(world, evacuations, answers)


@pytest.mark.timeout(180)
def test_claims_sent_twice_at_once_are_one_claim_each(services: SqlServices) -> None:
    """A claim and its retry, which may both run."""
    world = crowd(services, 30, fit=20)
    refs = [each.at(1) for each in begin_all(world, 30)]
    answers = claim_all(services, [ref for ref in refs for _ in range(2)])
    firsts, seconds = answers[::2], answers[1::2]
    placed = [(one, two) for one, two in zip(firsts, seconds, strict=True) if NO_HOST not in (one, two)]
    assert len(placed) == 20 and all(one == two for one, two in placed)
    assert all(each.vcpus_used <= each.vcpus for each in services.views.hosts())


@pytest.mark.timeout(180)
def test_anti_affinity_has_one_winner_when_two_members_claim_the_last_host(services: SqlServices) -> None:
    members = [instance(f"db-{n}-{m}", "cmp-0", server_group=f"db-{n}") for n in range(ROUNDS) for m in "ab"]
    groups = [{"name": f"db-{n}", "policy": "anti-affinity"} for n in range(ROUNDS)]
    hosts = [host("cmp-0", vcpus=2 * ROUNDS), host("cmp-1", vcpus=2 * ROUNDS)]
    fleet = Fleet.model_validate({"hosts": hosts, "server_groups": groups, "instances": members})
    world = World(services, fleet)
    world.fence("cmp-0")
    for n in range(ROUNDS):
        pair = [world.evacuation(f"db-{n}-{m}", f"ev-{n}-{m}") for m in "ab"]
        for each in pair:
            each.begin()
        answers = claim_all(services, [each.at(1) for each in pair])
        assert sorted(answers) == [NO_HOST, "cmp-1"], n
        loser = pair[answers.index(NO_HOST)]
        with pytest.raises(NoValidHostError) as told:
            services.capacity.claim(m.ClaimCapacity(ref=loser.at(1), target=None))
        assert {h.host: h.reason for h in told.value.hosts}["cmp-1"].startswith("anti-affinity with")
