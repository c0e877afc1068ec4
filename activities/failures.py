"""The one place where an error becomes what Temporal carries."""

from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from evacuation.errors import EvacuateError

MESSAGE_LIMIT = 2000


def application_error(error: EvacuateError) -> ApplicationError:
    """The class name as type, one pydantic detail, retryable as the class says, text bounded."""
    return ApplicationError(
        error.message[:MESSAGE_LIMIT],
        error.detail,
        type=type(error).__name__,
        non_retryable=not error.retryable,
        category=ApplicationErrorCategory.BENIGN if error.benign else ApplicationErrorCategory.UNSPECIFIED,
    )


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
