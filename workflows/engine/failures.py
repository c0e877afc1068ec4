"""What went wrong, read from what Temporal raises: `str(ActivityError)` says nothing, its cause does."""

import asyncio
from dataclasses import dataclass

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ServerError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

from evacuation.errors import BY_NAME, ErrorDetail, EvacuateError
from evacuation.messages import EvacuationOutcome

with workflow.unsafe.imports_passed_through():
    from activities.failures import final_error


ErrorType = type[EvacuateError]


@dataclass(frozen=True)
class Failure:
    """`silent`: nobody took it, or no answer came in time: its effect is unknown (or, `not_started`, known not to have
    begun). Whatever is not silent and not `cancelled` was said by a worker: an error is an answer. `incarnation`: which
    boot of a host said it, where that is known."""

    type: str
    message: str
    remedy: str = ""
    retryable: bool = True
    silent: bool = False
    not_started: bool = False
    cancelled: bool = False
    incarnation: str | None = None

    def means(self, *errors: ErrorType) -> bool:
        """It is one of these, or a special case of one."""
        return self.type in kinds(*errors)

    @property
    def line(self) -> str:
        """Cause and remedy, which a message that names every attempt has in it already."""
        return self.message if self.remedy in self.message else f"{self.message}: {self.remedy}"


def kinds(*errors: ErrorType) -> frozenset[str]:
    """The types by which failures name these errors, and the special cases of each."""
    return frozenset(name for name, known in BY_NAME.items() if issubclass(known, errors))


class StepFailed(Exception):
    """A step that the workflow itself gave up."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _last_cause(error: BaseException) -> BaseException:
    """A deadline that ends the retries hides the failure that was retried, as its cause; so does the server where that
    failure was too long for it."""
    while isinstance(error, ActivityError | TimeoutError | ServerError) and error.cause is not None:
        error = error.cause
    return error


def _of_application(error: ApplicationError) -> Failure:
    detail = next(
        (ErrorDetail.model_validate(d) for d in error.details if isinstance(d, dict) and "message" in d), None
    )
    return Failure(
        type=error.type or "ApplicationError",
        message=(detail.message or error.message) if detail else str(error),
        remedy=detail.remedy if detail else "",
        retryable=not error.non_retryable,
        incarnation=detail.incarnation if detail else None,
    )


def _of_timeout(error: TimeoutError) -> Failure:
    kind = error.type or TimeoutType.START_TO_CLOSE
    not_started = kind == TimeoutType.SCHEDULE_TO_START
    text = "no worker took it" if not_started else f"no answer ({kind.name.lower().replace('_', '-')} timeout)"
    return Failure(type="TimeoutError", message=text, silent=True, not_started=not_started)


def failure_of(error: BaseException) -> Failure:
    """Type, cause and remedy, and whether another try may help."""
    if isinstance(error, StepFailed):
        return error.failure
    if isinstance(error, asyncio.CancelledError) or is_cancelled_exception(error):
        return Failure(type="CancelledError", message="cancelled", retryable=False, cancelled=True)
    cause = _last_cause(error)
    if isinstance(cause, ApplicationError):
        return _of_application(cause)
    if isinstance(cause, TimeoutError):
        return _of_timeout(cause)
    if isinstance(cause, CancelledError):
        return Failure(type="CancelledError", message="cancelled", retryable=False, cancelled=True)
    return Failure(type=type(cause).__name__, message=str(cause) or type(cause).__name__)


def failure_of_refusal(error: EvacuateError) -> Failure:
    return Failure(type=type(error).__name__, message=error.message, remedy=error.remedy, retryable=error.retryable)


def as_error(failure: Failure, outcome: EvacuationOutcome | None = None) -> ApplicationError:
    """What a workflow fails with, so that whoever waits for it reads type, cause and remedy."""
    said = ErrorDetail(message=failure.message, remedy=failure.remedy, incarnation=failure.incarnation)
    return final_error(failure.type, said, outcome)
