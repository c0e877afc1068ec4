"""How an evacuation ended, whichever way it did."""

from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from control.access import open_store
from control.failures import answered, error_of
from control.requests import Accepted
from evacuation.errors import Refusal
from evacuation.messages import EvacuationOutcome
from evacuation.texts import is_cut
from evacuation.views import InstanceView


async def outcome_of(handle: WorkflowHandle[Any, EvacuationOutcome], instance_id: str) -> EvacuationOutcome:
    """How it ended, whichever way: waits for the end. A cancelled one says little more than that.

    Raises TemporalUnavailableError."""
    try:
        with answered():
            return await handle.result()
    except WorkflowFailureError as error:
        return _outcome_in(error.cause) or _outcome_without_details(instance_id, error.cause)


def _outcome_in(error: BaseException | None) -> EvacuationOutcome | None:
    """The outcome that travels as the failure's second detail."""
    if isinstance(error, ApplicationError) and len(error.details) > 1:
        return EvacuationOutcome.model_validate(error.details[1])
    return None


def _outcome_without_details(instance_id: str, error: BaseException | None) -> EvacuationOutcome:
    cancelled, now = isinstance(error, CancelledError), datetime.now(UTC)
    known = error_of(error)
    return EvacuationOutcome(
        evacuation_id="",
        instance_id=instance_id,
        outcome="cancelled" if cancelled else "not_recovered",
        source=None,
        error_type="CancelledError" if cancelled else type(known).__name__,
        reason="cancelled" if cancelled else known.line,
        started_at=now,
        finished_at=now,
    )


def with_all(outcome: EvacuationOutcome, instance: InstanceView, accepted: Accepted | None = None) -> EvacuationOutcome:
    """What the workflow's end does not say, from the store."""
    if outcome.evacuation_id:
        return (recorded(instance.id, outcome.evacuation_id) or outcome) if is_cut(outcome) else outcome
    known = accepted.acceptance.evacuation_id if accepted and accepted.acceptance else None
    return recorded(instance.id, known) or outcome.model_copy(
        update={"evacuation_id": known or "", "source": instance.host}
    )


def recorded(instance_id: str, evacuation_id: str | None) -> EvacuationOutcome | None:
    """The outcome as the store keeps it; without an id, the instance's last one."""
    with open_store() as services:
        rows = services.views.evacuations_of(instance_id)
    outcomes = [row.outcome for row in rows if row.outcome and (evacuation_id is None or row.id == evacuation_id)]
    return outcomes[-1] if outcomes else None


def refused(
    error: Refusal, started: datetime, *, instance: InstanceView | None = None, asked: str = ""
) -> EvacuationOutcome:
    """A refusal is an outcome, too. Of an instance that is not known, by the name that was asked for."""
    return EvacuationOutcome(
        evacuation_id="",
        instance_id=instance.id if instance else asked,
        outcome="refused",
        source=instance.host if instance else None,
        error_type=type(error).__name__,
        reason=error.line,
        started_at=started,
        finished_at=datetime.now(UTC),
    )
