"""What arrives of a failure on a real server: it is never so long that the server puts another one in its place."""

import asyncio
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.api.failure.v1 import Failure as WireFailure
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.failures import FailureInterceptor
from control.failures import error_of
from control.outcomes import outcome_of
from embedded.namespace import wait_until_ready
from evacuation.errors import BY_NAME
from evacuation.messages import AttemptResult, EvacuationOutcome
from evacuation.model import Rejection
from evacuation.texts import FAILURE_LIMIT, is_cut
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from workflows.engine.failures import Failure, as_error, failure_of

QUEUE = "failures"
MESSAGE, REMEDY = "m" * 20_000, "r" * 20_000
HOSTS = tuple(Rejection(host=f"cmp-{n}", reason="x" * 1000) for n in range(500))
UNKNOWN: dict[str, type[Exception]] = {
    each.__name__: each for each in (KeyError, AssertionError, OSError, RuntimeError)
}
DEEP = f"/{'installation/' * 300}activities.py"
DEPTH = 40


def from_a_deep_path(error: Exception) -> Exception:
    """The error, with a stack trace and a chain of causes longer than everything that a server keeps."""
    source = "def fall(depth, error):\n    if depth:\n        return fall(depth - 1, error)\n    raise error\n"
    names: dict[str, Any] = {}
    exec(compile(source, DEEP, "exec"), names)
    cause: Exception = OSError("c" * 20_000)
    for _ in range(20):
        try:
            raise RuntimeError("c" * 2_000) from cause
        except RuntimeError as link:
            cause = link
    try:
        try:
            names["fall"](DEPTH, error)
        except Exception as fallen:
            raise fallen from cause
    except Exception as raised:
        return raised
    raise AssertionError("it was raised")


def worst(name: str) -> Exception:
    if name in UNKNOWN:
        return UNKNOWN[name](MESSAGE + "\udcff")
    return BY_NAME[name](MESSAGE, remedy=REMEDY, hosts=HOSTS)


class Failing:
    """Fails the first time; what is retried then takes until its deadline, so that only what the server kept of the
    first failure is left."""

    @activity.defn
    async def fail(self, name: str) -> None:
        if activity.info().attempt > 1:
            await asyncio.sleep(60)
        raise from_a_deep_path(worst(name))


@workflow.defn
class Fails:
    @workflow.run
    async def run(self, name: str) -> Failure:
        try:
            await workflow.execute_activity_method(
                Failing.fail,
                name,
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(seconds=3),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100)),
            )
        except ActivityError as error:
            return failure_of(error)
        raise AssertionError("it fails")


@workflow.defn
class Ends:
    """As an evacuation that is refused by its update, or that ends with the longest outcome."""

    @workflow.run
    async def run(self, outcome: EvacuationOutcome) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)
        await workflow.sleep(0.1)
        raise as_error(Failure(type="NoValidHostError", message=MESSAGE, remedy=REMEDY), outcome)

    @workflow.update
    async def request(self) -> None:
        raise as_error(Failure(type="SourceNotFencedError", message=MESSAGE, remedy=REMEDY))


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """What is logged of these failures is not Unicode, and cannot be carried from one test process to another."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
async def client(temporal: str, tmp_path: Path) -> Client:
    settings = Settings(temporal_address=temporal, temporal_namespace=f"t-{uuid.uuid4().hex[:12]}", state_dir=tmp_path)
    await wait_until_ready(settings, timeout=30)
    return await connect(settings)


def served(client: Client) -> Worker:
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[Fails, Ends],
        activities=[Failing().fail],
        interceptors=[FailureInterceptor()],
        workflow_runner=UnsandboxedWorkflowRunner(),
        graceful_shutdown_timeout=timedelta(0),
    )


async def failed(client: Client, name: str) -> Failure:
    return await client.execute_workflow(Fails.run, name, id=f"fails/{name}", task_queue=QUEUE, result_type=Failure)


async def test_longest_failure_of_every_type_arrives_with_type_message_and_remedy_after_retries(client: Client):
    names = sorted({*BY_NAME, *UNKNOWN})
    async with served(client):
        found = dict(zip(names, await asyncio.gather(*(failed(client, name) for name in names)), strict=True))
    assert {name: failure.type for name, failure in found.items()} == {name: name for name in names}
    for name, failure in found.items():
        assert failure.message.count("m") > 800, name
        assert failure.remedy.count("r") > 300 or name in UNKNOWN, name


async def test_no_failure_in_a_history_is_longer_than_what_travels_or_has_a_stack_trace(client: Client):
    now = datetime.now(UTC)
    tried = tuple(AttemptResult(host="h" * 63, result="refused", reason=MESSAGE) for _ in range(9))
    outcome = EvacuationOutcome(
        evacuation_id="e" * 36, instance_id="i" * 36, outcome="not_recovered", source="s" * 63, started_at=now,
        finished_at=now, attempts=tried, reason=MESSAGE,
    )  # fmt: skip
    async with served(client):
        await failed(client, "KeyError")
        ends: WorkflowHandle[Any, Any] = await client.start_workflow(Ends.run, outcome, id="ends", task_queue=QUEUE)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await ends.execute_update(Ends.request)
        told = await outcome_of(ends, outcome.instance_id)
        with pytest.raises(WorkflowFailureError):
            await ends.result()
    refusal = error_of(refused.value.cause)
    assert (type(refusal).__name__, refusal.message[:9], refusal.remedy[:9]) == (
        "SourceNotFencedError",
        "m" * 9,
        "r" * 9,
    )
    assert (told.evacuation_id, told.source, is_cut(told)) == (outcome.evacuation_id, outcome.source, True)
    failures = [each for name in ("ends", "fails/KeyError") async for each in failures_of(client, name)]
    assert len(failures) >= 3
    assert max(each.ByteSize() for each in failures) <= FAILURE_LIMIT + 200
    assert not any(each.stack_trace for each in failures)


async def failures_of(client: Client, workflow_id: str):
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    for event in history.events:
        for _, value in event.ListFields():
            for field, inner in value.ListFields() if hasattr(value, "ListFields") else ():
                if isinstance(inner, WireFailure):
                    yield inner
                if field.name == "outcome" and inner.HasField("failure"):
                    yield inner.failure
