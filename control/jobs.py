"""What a control worker is asked to do, and waited for."""

from datetime import timedelta
from uuid import uuid4

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from control.access import connect
from control.failures import error_of
from evacuation.errors import NotReadyError, TemporalUnavailableError
from evacuation.names import CONTROL_QUEUE
from services.runtime.settings import Settings


async def done_by_control(
    settings: Settings, workflow: str, input: object, *, name: str, summary: str, timeout: timedelta
) -> None:
    """Raises what the workflow says, NotReadyError, TemporalUnavailableError."""
    client = await connect(settings)
    try:
        await client.execute_workflow(
            workflow,
            input,
            id=f"{name}/{uuid4()}",
            task_queue=CONTROL_QUEUE,
            static_summary=summary,
            execution_timeout=timeout,
        )
    except WorkflowFailureError as error:
        if isinstance(error.cause, ApplicationError):
            raise error_of(error.cause) from error
        raise NotReadyError("no control worker answers", remedy="start one: evacuate-worker control") from error
    except RPCError as error:
        raise TemporalUnavailableError(f"Temporal does not answer: {error}") from error
