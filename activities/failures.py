"""The one place where an error becomes what Temporal carries. What the encoding adds is bounded by the converter."""

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from evacuation.errors import ErrorDetail, EvacuateError
from evacuation.messages import EvacuationOutcome
from evacuation.texts import (
    MESSAGE_LIMIT,
    OUTCOME_MESSAGE_LIMIT,
    OUTCOME_REMEDY_LIMIT,
    shorten,
    small_detail,
    small_outcome,
)

HEARTBEAT_LIMIT = 200
Boot = Callable[[], str | None]
"""Which boot of its host a worker runs in, as far as it knows."""


def application_error(error: EvacuateError) -> ApplicationError:
    """The class name as type, one pydantic detail, retryable as the class says, text bounded."""
    detail = error.detail.model_copy(update={"message": shorten(error.message, MESSAGE_LIMIT)})
    return ApplicationError(
        detail.message,
        small_detail(detail),
        type=type(error).__name__,
        non_retryable=not error.retryable,
        category=ApplicationErrorCategory.BENIGN if error.benign else ApplicationErrorCategory.UNSPECIFIED,
    )


def final_error(kind: str, said: ErrorDetail, outcome: EvacuationOutcome | None = None) -> ApplicationError:
    """How a workflow, or the request of one, fails: with the outcome as a second detail."""
    limit = MESSAGE_LIMIT if outcome is None else OUTCOME_MESSAGE_LIMIT
    detail = said.model_copy(update={"message": shorten(said.message, limit)})
    if outcome is None:
        return ApplicationError(detail.message, small_detail(detail), type=kind, non_retryable=True)
    small = small_detail(detail.model_copy(update={"remedy": shorten(said.remedy, OUTCOME_REMEDY_LIMIT)}))
    return ApplicationError(detail.message, small, small_outcome(outcome), type=kind, non_retryable=True)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, boot: Boot | None) -> None:
        super().__init__(next)
        self._boot = boot

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except EvacuateError as error:
            error.incarnation = error.incarnation or await self._incarnation()
            # The cause stays with it for the worker's log; the converter leaves it out.
            raise application_error(error) from error
        except FailureError:
            raise
        except Exception as error:
            if self._boot is None:
                raise
            raise await self._named(error) from error

    async def _named(self, error: Exception) -> ApplicationError:
        """A dying disk is no error of the domain, and is an answer all the same."""
        text = shorten(f"{type(error).__name__}: {error}", MESSAGE_LIMIT)
        return ApplicationError(text, ErrorDetail(incarnation=await self._incarnation()), type=type(error).__name__)

    async def _incarnation(self) -> str | None:
        return await asyncio.to_thread(self._boot) if self._boot else None


class _Outbound(ActivityOutboundInterceptor):
    """What was last heard of an activity becomes a part of its timeout's failure."""

    def heartbeat(self, *details: Any) -> None:
        super().heartbeat(*(shorten(each, HEARTBEAT_LIMIT) if isinstance(each, str) else each for each in details))


class FailureInterceptor(Interceptor):
    """Worker interceptor; anything that is not an EvacuateError stays as it is: retryable, under a deadline.

    With `boot`, on a host's own worker, every error says which boot of the host it is that says it."""

    def __init__(self, boot: Boot | None = None) -> None:
        self._boot = boot

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self._boot)
