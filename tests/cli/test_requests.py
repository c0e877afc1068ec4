"""What becomes of a request: refused, over before it was decided, interrupted; also when it is sent a second time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.service import RPCError

from control.requests import Accepted, request_evacuation
from embedded.state import StateDir
from evacuation.errors import EvacuationRunningError, SourceAnswersError, TemporalUnavailableError
from evacuation.messages import Acceptance, EvacuateInstanceInput, EvacuationRequest
from evacuation.names import evacuate_instance_id
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.cli.conftest import called
from tests.cli.interference import NAME, asked, begin, connect_before, end, instance, nothing, serving, silence
from tests.support.stack import Answer
from workflows.engine.failures import as_error, failure_of_refusal


@workflow.defn(name="EvacuateInstance")
class Refuses:
    """Refused, and not over yet."""

    @workflow.run
    async def run(self, input: EvacuateInstanceInput) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def request(self, request: EvacuationRequest) -> Acceptance:
        raise as_error(failure_of_refusal(SourceAnswersError("cmp-1 answers", remedy="it is up")))


async def ask(client: Client, *, join: bool = False) -> Accepted:
    return await request_evacuation(client, instance(), asked(), settings_for().tuning, join=join)


async def ask_plainly() -> Accepted:
    return await ask(await connect(settings_for()))


async def until_it_runs() -> None:
    handle = (await connect(settings_for())).get_workflow_handle(evacuate_instance_id(instance().id))
    async with asyncio.timeout(20):
        while True:
            try:
                await handle.describe()
                return
            except RPCError:
                await asyncio.sleep(0.05)


async def meanwhile(asking: Coroutine[Any, Any, Any], happening: Coroutine[Any, Any, None]) -> Any:
    """The answer, when that happens once the request has waited for a while."""
    task = asyncio.ensure_future(asking)
    await until_it_runs()
    await asyncio.sleep(0.5)
    await happening
    return await task


def test_own_request_that_was_refused_is_refused_when_it_is_sent_again(unserved: StateDir) -> None:
    async def again() -> None:
        async with serving(Refuses):
            await begin("mine")
            with pytest.raises(SourceAnswersError) as refused:
                await ask_plainly()
            assert (refused.value.message, refused.value.remedy) == ("cmp-1 answers", "it is up")

    asyncio.run(again())


def test_own_request_that_is_sent_again_is_undecided_when_it_ends_meanwhile(unserved: StateDir) -> None:
    async def again() -> Accepted:
        run_id = await begin("mine")
        accepted = await meanwhile(ask_plainly(), end())
        assert accepted.handle.run_id == run_id
        return accepted

    assert asyncio.run(again()).undecided


def test_own_request_that_is_sent_again_is_undecided_when_it_has_ended_by_then(unserved: StateDir) -> None:
    async def again() -> Accepted:
        await begin("mine")
        return await ask(await connect_before("start_workflow_update", end))

    assert asyncio.run(again()).undecided


def test_evacuation_that_ends_before_it_is_decided_is_told_with_its_end_though_nobody_waits(unserved: StateDir) -> None:
    words = ("instance", "evacuate", NAME, "--no-wait", "--json")

    async def evacuate() -> Answer:
        return await meanwhile(asyncio.to_thread(called, *words), end())

    answer = asyncio.run(evacuate())
    assert (answer.code, answer.json["outcome"]) == (1, "not_recovered"), answer


@pytest.mark.parametrize("call", ["describe_workflow", "start_workflow_update"])
def test_request_says_so_when_temporal_falls_silent_about_the_one_that_runs(unserved: StateDir, call: str) -> None:
    async def again() -> None:
        await begin("mine")
        with pytest.raises(TemporalUnavailableError, match="connection refused"):
            await ask(await connect_before(call, silence))

    asyncio.run(again())


def test_evacuation_that_has_ended_by_then_is_not_joined(unserved: StateDir) -> None:
    async def join() -> Accepted:
        await begin()
        with pytest.raises(EvacuationRunningError):
            await ask_plainly()
        # The first one reads what the evacuation before has written down of the ledger.
        return await ask(await connect_before("describe_workflow", nothing, end), join=True)

    assert asyncio.run(join()).undecided


def test_interrupted_request_is_interrupted_and_no_silence_of_temporal(unserved: StateDir) -> None:
    async def interrupt() -> None:
        task = asyncio.ensure_future(ask_plainly())
        await until_it_runs()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupt())
