"""A report reaches the store in one short run; a newer one replaces an older one that waits."""

from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.capabilities import HostCapabilities
from evacuation.names import CONTROL_QUEUE, report_host_id
from tests.workflows.conftest import OPTIONS
from tests.workflows.fakes import Hang, hang
from workflows.all import ALL
from workflows.report_host import ReportHost


class FakeStore:
    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.reports: list[m.HypervisorReport] = []

    @activity.defn
    async def record_report(self, report: m.HypervisorReport) -> m.Recorded:
        self.reports.append(report)
        if self.answers and isinstance(self.answers.pop(0), Hang):
            await hang(beating=True)
        return m.Recorded(changed=True)


def report(second: int) -> m.HypervisorReport:
    at = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
    return m.HypervisorReport(host="cmp-1", incarnation="boot-1", at=at, capabilities=HostCapabilities())


def start(env: Any, second: int) -> Any:
    return env.client.start_workflow(
        ReportHost.run,
        m.ReportHostInput(report=report(second), tuning=m.Tuning(scale=0.1)),
        id=report_host_id("cmp-1"),
        task_queue=CONTROL_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )


async def test_report_is_recorded_in_one_activity(env):
    store = FakeStore()
    async with Worker(env.client, task_queue=CONTROL_QUEUE, workflows=ALL, activities=[store.record_report], **OPTIONS):
        handle = await start(env, 1)
        assert (await handle.result()).changed
        assert store.reports == [report(1)]
        assert (await handle.describe()).history_length < 12


async def test_newer_report_replaces_one_that_waits(env):
    store = FakeStore(Hang())
    async with Worker(env.client, task_queue=CONTROL_QUEUE, workflows=ALL, activities=[store.record_report], **OPTIONS):
        older = await start(env, 1)
        newer = await start(env, 2)
        assert (await newer.result()).changed
        replaced = env.client.get_workflow_handle(older.id, run_id=older.result_run_id)
        assert (await replaced.describe()).status is WorkflowExecutionStatus.TERMINATED
    assert store.reports[-1] == report(2)
