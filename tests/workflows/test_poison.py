"""An instance whose start cost a destination its worker waits in the open for a person, and takes no other host."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError

from evacuation import messages as m
from evacuation.errors import InstanceDeletedError, PoisonousStartError, SourceReturnedError
from tests.workflows.conftest import Run, ends_cancelled
from tests.workflows.fakes import NOW, FakeCloud, Silence
from workflows.evacuate_instance import EvacuateInstance

POISON = PoisonousStartError(
    "the start of web-01 cost cmp-2 its worker: it is sent to no other host", remedy="evacuate instance retry web-01"
)


def cloud_with_poison(*claims: object) -> FakeCloud:
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", *[Silence()] * 50)
    first = m.Destination(host="cmp-2", hypervisor_uuid=None, incarnation="boot-1", epoch=2)
    cloud.answers("claim_capacity", first, *claims)
    return cloud


async def blocked(run, cloud: FakeCloud, **request: object) -> Run:
    evacuation: Run = (await run(cloud)).faster()
    await evacuation.start(**request)
    await evacuation.until("release_capacity")
    progress = await evacuation.until_phase("blocked")
    assert progress.cause == POISON.message
    assert progress.remedy == POISON.remedy
    return evacuation


@pytest.mark.parametrize("request_", [{}, {"wait_for_capacity": "PT30M"}], ids=["", "waiting for capacity"])
async def test_it_waits_in_the_open_and_goes_on_by_a_persons_word(run, request_: dict[str, str]):
    cloud = cloud_with_poison(*[POISON] * 2)
    evacuation = await blocked(run, cloud, **request_)
    assert {each.host for each in cloud.messages["fence_destination"]} == {"cmp-2"}, "no second host is fenced"
    cloud.hosts.remove("cmp-2")
    handle = await evacuation.of_this_run()
    while (await handle.query(EvacuateInstance.progress)).phase == "blocked":
        await handle.signal(EvacuateInstance.look_again)
        await asyncio.sleep(0.05)
    outcome = await handle.result()
    assert (outcome.outcome, outcome.destination) == ("recovered", "cmp-3")
    assert [(each.host, each.result) for each in outcome.attempts] == [("cmp-2", "unknown"), ("cmp-3", "recovered")]
    assert {each.host for each in cloud.messages["fence_destination"]} == {"cmp-2"}, "no second host is fenced"


async def test_it_looks_again_by_itself(run):
    """Somebody may have said so while nobody could tell it."""
    cloud = cloud_with_poison(*[POISON] * 3)
    evacuation = await blocked(run, cloud)
    assert (await (await evacuation.of_this_run()).result()).outcome == "recovered"


async def test_it_can_be_cancelled_meanwhile_and_everything_is_as_before(run):
    cloud = cloud_with_poison(*[POISON] * 100)
    evacuation = await blocked(run, cloud)
    handle = await evacuation.of_this_run()
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.asked[-1] == "abandon_evacuation"


@pytest.mark.parametrize("end", [InstanceDeletedError("it was deleted"), SourceReturnedError("cmp-1 came back")])
async def test_what_ends_an_evacuation_ends_it_meanwhile(run, end: Exception):
    cloud = cloud_with_poison(POISON, end)
    evacuation = await blocked(run, cloud)
    handle = await evacuation.of_this_run()
    if isinstance(end, InstanceDeletedError):
        assert (await handle.result()).error_type == "InstanceDeletedError"
    else:
        assert (await evacuation.failure()).type == "SourceReturnedError"


@pytest.mark.parametrize("taken", [True, False], ids=["a worker took it", "nobody took it"])
async def test_the_store_is_told_whether_a_worker_took_the_start_up(run, taken: bool):
    cloud = FakeCloud("cmp-2", "cmp-3")
    if taken:
        cloud.answers("spawn_guest", Silence())
        cloud.answers("settle_guest", *[Silence()] * 50)
        evacuation = (await run(cloud)).faster()
    else:
        # It is authorised, and nobody hears so.
        cloud.answers("authorize_spawn", ApplicationError("lost", type="DestinationUnableError", non_retryable=True))
        evacuation = (await run(cloud)).faster()
        cloud.authorized = True
        cloud.answers("call_off_attempt", m.CalledOff(authorized=True))
    assert (await evacuation.outcome()).outcome == "recovered"
    assert cloud.messages["record_guest_gone"][0].begun is taken


async def test_the_store_is_told_that_a_start_of_an_earlier_run_may_have_been_taken_up(run):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.adopts = m.OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
    cloud.left = m.Begun(
        evacuation_id="evacuation-0",
        attempt=1,
        phase=m.AttemptPhase.AUTHORIZED,
        started_at=NOW,
        wanted="active",
        migration_id="migration-1",
        destination=m.Destination(host="cmp-2", hypervisor_uuid=None, incarnation="boot-1", epoch=2),
    )
    cloud.answers("call_off_attempt", m.CalledOff(authorized=True))
    cloud.answers("settle_guest", *[Silence()] * 50)
    assert (await (await run(cloud)).faster().outcome()).outcome == "recovered"
    assert cloud.messages["record_guest_gone"][0].begun
