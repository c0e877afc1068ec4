"""What Temporal's client raises, in this project's words."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from temporalio.client import RPCTimeoutOrCancelledError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from evacuation.errors import BY_NAME, ErrorDetail, EvacuateError, TemporalUnavailableError

NOT_THERE = (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION)
"""There is no such workflow, or it has ended."""
SILENT = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
UNANSWERED = (RPCError, RPCTimeoutOrCancelledError)
AGAIN = "ask again when it answers; what it has accepted goes on"


@contextmanager
def answered() -> Generator[None]:
    """Around calls of the client. Raises TemporalUnavailableError where they find no answer."""
    try:
        yield
    except UNANSWERED as error:
        if was_interrupted(error):
            raise asyncio.CancelledError from error
        raise unavailable(error) from error


def was_interrupted(error: BaseException) -> bool:
    """To the client of an update, a caller that is interrupted is the same as a server that is silent."""
    return isinstance(error, RPCTimeoutOrCancelledError) and isinstance(error.__cause__, asyncio.CancelledError)


def unavailable(error: RPCError | RPCTimeoutOrCancelledError) -> TemporalUnavailableError:
    if isinstance(error, RPCTimeoutOrCancelledError):
        return TemporalUnavailableError("Temporal did not answer", remedy=AGAIN)
    what = f"{error.status.name.lower()}: {error.message}"
    if error.status in SILENT:
        return TemporalUnavailableError(f"Temporal did not answer ({what})", remedy=AGAIN)
    return TemporalUnavailableError(f"Temporal answered with an error ({what})")


def error_of(error: BaseException | None) -> EvacuateError:
    """The error of the domain that a failure carries."""
    while isinstance(error, ActivityError) and error.cause is not None:
        error = error.cause
    if not isinstance(error, ApplicationError):
        return EvacuateError(str(error) or type(error).__name__)
    details = [ErrorDetail.model_validate(d) for d in error.details[:1] if isinstance(d, dict)]
    detail = details[0] if details else ErrorDetail()
    message = detail.message or error.message
    return _kind(error.type or "EvacuateError")(message, remedy=detail.remedy, hosts=detail.hosts)


def _kind(name: str) -> type[EvacuateError]:
    """A type that the domain does not know keeps its name."""
    return BY_NAME.get(name) or type(name, (EvacuateError,), {})
