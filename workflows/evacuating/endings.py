"""How an evacuation ends: recovered, or as `ENDINGS` says (docs/design.md#how-an-evacuation-ends)."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.errors import InstanceDeletedError, NoValidHostError
from evacuation.model import MigrationStatus
from evacuation.transitions import ENDINGS, EndingCause
from workflows.engine.failures import Failure, as_error, failure_of
from workflows.engine.steps import Steps
from workflows.evacuating.attempts import NO_HOST, Attempts
from workflows.evacuating.state import State

with workflow.unsafe.imports_passed_through():
    from activities.instance_state import InstanceStateActivities


class Ended(Exception):
    """The evacuation ends without a recovery."""

    def __init__(self, cause: EndingCause, failure: Failure) -> None:
        super().__init__(failure.message)
        self.cause = cause
        self.failure = failure


def cancelled() -> Ended:
    return Ended(EndingCause.CANCELLED, failure_of(asyncio.CancelledError()))


def deleted(name: str) -> Ended:
    failure = Failure(type=InstanceDeletedError.__name__, message=f"{name} was deleted meanwhile", retryable=False)
    return Ended(EndingCause.DELETED, failure)


class Closing:
    def __init__(self, state: State, steps: Steps, attempts: Attempts) -> None:
        self._state = state
        self._steps = steps
        self._attempts = attempts

    async def finish(self) -> m.EvacuationOutcome:
        """Recovered: the last step, until it holds. Raises ActivityError only when the instance was deleted, or the row
        is not this run's any more."""
        state = self._state
        if state.to is None:
            raise RuntimeError("no destination is claimed")
        self._steps.display.enter("finishing")
        outcome = self._outcome("recovered", recovered=m.AttemptResult(host=state.to.host, result="recovered"))
        message = m.FinishEvacuation(
            ref=state.ref,
            host=state.to.host,
            epoch=state.to.epoch,
            vm_state=state.wanted,
            power_state=state.power_state,
            outcome=outcome,
            events=(*self._steps.events, self._own_event("finish_evacuation", state.to.host)),
        )
        await self._steps.hold(
            InstanceStateActivities.finish_evacuation, message, about=f"{state.name} is on {state.to.host}"
        )
        self._publish_end(outcome)
        return outcome

    async def close(self, end: Ended) -> m.EvacuationOutcome:
        """Write the ending, if there is anything open, and end the workflow as `ENDINGS` says."""
        ending, failure = ENDINGS[end.cause], self._final(end)
        outcome = self._outcome(ending.outcome, failure)
        self._steps.display.cause, self._steps.display.remedy = failure.message, failure.remedy
        if self._state.asked_to_begin:
            await self._abandon(end, failure, outcome)
        self._publish_end(outcome)
        if end.cause == EndingCause.DELETED:
            return outcome
        if end.cause == EndingCause.CANCELLED:
            raise asyncio.CancelledError
        raise as_error(failure, outcome)

    def _final(self, end: Ended) -> Failure:
        """The reason names each host that was tried and why."""
        if end.cause not in EXPLAINED:
            return end.failure
        kind = NoValidHostError.__name__ if end.failure.type in NO_HOST else end.failure.type
        return Failure(
            type=kind, message=self._attempts.explain(end.failure), remedy=end.failure.remedy, retryable=False
        )

    async def _abandon(self, end: Ended, failure: Failure, outcome: m.EvacuationOutcome) -> None:
        ending = ENDINGS[end.cause]
        fault = (
            m.Fault(message=failure.message, error_type=failure.type, at=workflow.now()) if ending.has_fault else None
        )
        message = m.AbandonEvacuation(
            ref=self._state.ref,
            migration_status=ending.migration or MigrationStatus.FAILED,
            vm_state=ending.vm_state,
            fault=fault,
            outcome=outcome,
            deleted=end.cause == EndingCause.DELETED,
            events=(*self._steps.events, self._own_event("abandon_evacuation", None)),
        )
        try:
            await self._steps.hold(InstanceStateActivities.abandon_evacuation, message, about="record how it ended")
        except ActivityError as error:
            raise as_error(failure_of(error), outcome) from error

    def _outcome(
        self, outcome: Any, failure: Failure | None = None, *, recovered: m.AttemptResult | None = None
    ) -> m.EvacuationOutcome:
        state = self._state
        return m.EvacuationOutcome(
            evacuation_id=state.ref.evacuation_id,
            instance_id=state.ref.instance_id,
            outcome=outcome,
            source=state.checked.instance.source if state.checked else None,
            destination=recovered.host if recovered else None,
            error_type=failure.type if failure else None,
            reason=failure.line if failure else None,
            attempts=(*self._attempts.results, *((recovered,) if recovered else ())),
            started_at=state.started_at,
            finished_at=workflow.now(),
        )

    def _own_event(self, name: str, host: str | None) -> m.StepEvent:
        now = workflow.now()
        return m.StepEvent(
            name=name, attempt=self._state.ref.attempt, host=host, result="success", started_at=now, finished_at=now
        )

    def _publish_end(self, outcome: m.EvacuationOutcome) -> None:
        self._steps.display.outcome = outcome.outcome.replace("_", " ")
        self._steps.display.end_all()
        self._steps.display.publish()


EXPLAINED = frozenset({EndingCause.NO_HOST, EndingCause.ALL_REFUSED_IN_PREPARATION, EndingCause.LATER_STEP_FAILED})
