"""Only an absence is silence: whatever a host's own worker says is an answer, be it an error."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.errors import (
    EvacuateError,
    EvidenceMissingError,
    HostIdentityError,
    HypervisorUnavailableError,
    SpawnFailedError,
)
from evacuation.model import Evidence, EvidenceKind
from evacuation.names import CONTROL_QUEUE, host_queue, probe_queue
from tests.workflows.conftest import OPTIONS, Run
from tests.workflows.fakes import NOW, FakeCloud, Silence
from tests.workflows.returns import NOTHING, FakeReturn, report, serve_return
from workflows.all import ALL
from workflows.probe_host import ProbeHost

REFUSED = ApplicationError("injected fault", type="InjectedFaultError", non_retryable=True)


def of_boot(error: EvacuateError, incarnation: str = "boot-1") -> EvacuateError:
    error.incarnation = incarnation
    return error


def answering(error: BaseException) -> FakeCloud:
    cloud = FakeCloud()
    cloud.source_answers, cloud.source_error = True, error
    return cloud


@pytest.mark.parametrize(
    "error",
    [REFUSED, HypervisorUnavailableError("libvirtd is dead"), HostIdentityError("another uuid"), OSError(5, "disk")],
    ids=["refused", "libvirtd", "uuid", "disk"],
)
async def test_source_that_answers_with_an_error_refuses_the_start_and_voids_nothing(run, error: BaseException):
    cloud = answering(error)
    failure = await (await run(cloud)).failure(source_confirmed_off="Jo saw it")
    assert failure.type == "SourceAnswersError"
    assert cloud.asked == ["check_request"]
    remedy = failure.details[0]["remedy"]
    assert "cmp-1 answers, with an error" in failure.message and "web-01 may run there" in failure.message
    assert "stop the worker" in remedy and "evacuate host down cmp-1 --power-off" in remedy


async def test_error_that_carries_the_boot_is_that_boot_alive(run):
    cloud = answering(of_boot(HypervisorUnavailableError("libvirtd is dead")))
    failure = await (await run(cloud)).failure()
    assert failure.type == "SourceAnswersError"
    assert cloud.asked == ["check_request", "record_answer"]
    [said] = cloud.messages["record_answer"]
    assert (said.host, said.incarnation) == ("cmp-1", "boot-1")


async def test_evacuation_that_waits_for_evidence_ends_at_an_error_of_the_source(run):
    cloud = answering(REFUSED)
    cloud.probe_silent_for = 1
    cloud.answers("fence_source", *[EvidenceMissingError("cmp-1 is not proven off")] * 50)
    failure = await (await run(cloud)).faster().patient().failure()
    assert failure.type == "SourceAnswersError"
    assert cloud.asked.count("fence_source") == 1 and "record_answer" not in cloud.asked


WORD = Evidence(kind=EvidenceKind.OPERATOR, host="cmp-2", incarnation="boot-1", who="jo", reason="seen", at=NOW)
BOOTED = WORD.model_copy(update={"kind": EvidenceKind.NEW_INCARNATION})


async def unsettled(run: Callable[..., Awaitable[Run]], *answers: Any, evidence: Evidence) -> FakeCloud:
    """The spawn's end is unknown, its destination answers as given, and somebody has said that it is off."""
    cloud = FakeCloud("cmp-2")
    cloud.answers("spawn_guest", Silence(), SpawnFailedError("full"))
    cloud.answers("settle_guest", *answers)
    cloud.answers("find_evidence", *[evidence] * 20)
    await (await run(cloud)).faster().failure()
    return cloud


async def test_word_about_a_destination_that_answers_with_an_error_proves_nothing(run):
    error = HypervisorUnavailableError("libvirtd is dead")
    cloud = await unsettled(run, error, error, evidence=WORD)
    asked = [each.split("@")[0] for each in cloud.asked]
    assert asked.count("settle_guest") >= 3, "it is asked until it has settled the guest itself"
    assert cloud.messages["record_guest_gone"][0].evidence.kind is EvidenceKind.GUEST_GONE
    assert "record_answer" not in asked


async def test_word_about_a_destination_whose_error_says_its_boot_is_void(run):
    error = of_boot(HypervisorUnavailableError("libvirtd is dead"))
    cloud = await unsettled(run, error, evidence=WORD)
    assert [each.incarnation for each in cloud.messages["record_answer"]] == ["boot-1"]
    assert cloud.messages["record_guest_gone"][0].evidence.kind is EvidenceKind.GUEST_GONE


async def test_new_boot_of_a_destination_holds_whatever_its_worker_answers(run):
    cloud = await unsettled(run, HypervisorUnavailableError("libvirtd is dead"), evidence=BOOTED)
    assert cloud.messages["record_guest_gone"][0].evidence == BOOTED


async def test_busy_destination_whose_probe_fails_is_queued_again(run, env: WorkflowEnvironment):
    """Nobody takes the step, and its worker answers with an error: it is there."""
    cloud = FakeCloud("cmp-2")
    asked: list[str] = []

    @activity.defn(name="probe_host")
    async def probe_host(request: m.ProbeRequest) -> m.ProbeAnswer:
        asked.append(request.host)
        raise REFUSED

    evacuation: Run = (await run(cloud, silent=frozenset({"cmp-2"}))).faster()
    async with (
        Worker(env.client, task_queue=probe_queue("cmp-2"), activities=[probe_host]),
        AsyncExitStack() as stack,
    ):
        handle = await evacuation.start()
        while len(asked) < 2:
            await asyncio.sleep(0.01)
        await stack.enter_async_context(_serving(env, cloud, "cmp-2"))
        assert (await handle.result()).outcome == "recovered"


def _serving(env: WorkflowEnvironment, cloud: FakeCloud, host: str) -> Worker:
    return Worker(env.client, task_queue=host_queue(host), activities=cloud.on_host(host).all, **OPTIONS)


async def test_return_of_a_host_that_answers_with_errors_goes_on_waiting(env: WorkflowEnvironment):
    fake = FakeReturn(NOTHING.model_copy(update={"held_by": ("web-01",)}), NOTHING)
    fake.answers("list_guests", *[HypervisorUnavailableError("libvirtd is dead")] * 8)
    async with AsyncExitStack() as stack:
        await (await serve_return(stack, env, fake)).result()
    assert fake.asked.count("list_guests") == 9 and fake.registered == [report(), report()]


Ask = Callable[[BaseException], Awaitable[BaseException]]


@pytest.fixture
async def asking(env: WorkflowEnvironment) -> AsyncIterator[Ask]:
    """How the question to a host's worker fails that answers with the error."""
    async with AsyncExitStack() as stack:

        async def ask(error: BaseException) -> BaseException:
            @activity.defn(name="list_guests")
            async def list_guests(request: m.ProbeRequest) -> m.HostReport:
                raise error

            for queue, workflows, activities in ((CONTROL_QUEUE, ALL, []), (probe_queue("cmp-1"), [], [list_guests])):
                worker = Worker(env.client, task_queue=queue, workflows=workflows, activities=activities, **OPTIONS)
                await stack.enter_async_context(worker)
            request = m.ProbeRequest(host="cmp-1", hypervisor_uuid=None)
            with pytest.raises(WorkflowFailureError) as caught:
                await env.client.execute_workflow(
                    ProbeHost.run, request, id=f"probe-host/{uuid.uuid4()}", task_queue=CONTROL_QUEUE
                )
            return caught.value.cause

        yield ask


async def test_question_fails_with_what_the_worker_answered_and_its_boot(asking: Ask):
    failure = await asking(of_boot(HypervisorUnavailableError("libvirtd is dead")))
    assert isinstance(failure, ApplicationError) and failure.type == "HypervisorUnavailableError"
    assert (failure.message, failure.details[0]["incarnation"]) == ("libvirtd is dead", "boot-1")


async def test_question_fails_where_the_worker_was_told_to_refuse(asking: Ask):
    failure = await asking(REFUSED)
    assert isinstance(failure, ApplicationError) and failure.type == "InjectedFaultError"
