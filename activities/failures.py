"""The one place where an error becomes what Temporal carries."""

from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from evacuation.errors import ErrorDetail, EvacuateError
from evacuation.model import Rejection

MESSAGE_LIMIT = 2000
DETAIL_LIMIT = 16_000
HOSTS_LIMIT = 100
REASON_LIMIT = 200


def application_error(error: EvacuateError) -> ApplicationError:
    """The class name as type, one pydantic detail, retryable as the class says, text bounded."""
    return ApplicationError(
        _bounded(error.message, MESSAGE_LIMIT),
        _detail(error),
        type=type(error).__name__,
        non_retryable=not error.retryable,
        category=ApplicationErrorCategory.BENIGN if error.benign else ApplicationErrorCategory.UNSPECIFIED,
    )


def _detail(error: EvacuateError) -> ErrorDetail:
    """Enough to name every host of a usual fleet; never so much that the failure itself cannot be recorded."""
    hosts = (Rejection(host=h.host, reason=_bounded(h.reason, REASON_LIMIT)) for h in error.hosts[:HOSTS_LIMIT])
    return ErrorDetail(
        message=_bounded(error.message, DETAIL_LIMIT),
        remedy=_bounded(error.remedy, MESSAGE_LIMIT),
        hosts=tuple(hosts),
    )


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except EvacuateError as error:
            raise application_error(error) from error


class FailureInterceptor(Interceptor):
    """Worker interceptor; anything that is not an EvacuateError stays as it is: retryable, under a deadline."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next)
