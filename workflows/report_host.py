"""A host's own worker, which has no database, keeps the store current while its host lives."""

from temporalio import workflow

from evacuation import messages as m
from workflows.engine.calls import call
from workflows.engine.policies import CONTROL

with workflow.unsafe.imports_passed_through():
    from activities.hosts import HostActivities


@workflow.defn
class ReportHost:
    """One report, short-lived: the next one is a run of its own, and replaces this one if it still waits."""

    @workflow.run
    async def run(self, input: m.ReportHostInput) -> m.Recorded:
        report = input.report
        return await call(
            HostActivities.record_report,
            report,
            policy=CONTROL,
            tuning=input.tuning,
            about=f"record what {report.host} reports: {len(report.guests)} definitions",
        )
