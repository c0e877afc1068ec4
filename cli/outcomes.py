"""How an evacuation ended, whichever way it did."""

from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from cli.failures import answered, error_of
from evacuation.messages import EvacuationOutcome


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
