"""What the latest evacuation of an instance has written down of the ledger: in its workflow's memo, outside of any
store that may be restored."""

import asyncio
from datetime import timedelta

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from evacuation.errors import TemporalUnavailableError
from evacuation.ledger import StartMark
from evacuation.names import LEDGER_MEMO, evacuate_instance_id


class LastStart:
    """Asked by a describe of the workflow id, never by visibility, which lags. A run takes over the memo of the one
    before it: whoever starts it copies that."""

    def __init__(self, client: Client, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._client = client
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()

    def __call__(self, instance_id: str) -> StartMark | None:
        """Raises TemporalUnavailableError."""
        asked = last_start(self._client, instance_id, timeout=self._timeout)
        try:
            return asyncio.run_coroutine_threadsafe(asked, self._loop).result(self._timeout.total_seconds() + 1)
        except (RPCError, TimeoutError) as error:
            raise TemporalUnavailableError(f"Temporal does not say what {instance_id} was last started by") from error


async def last_start(client: Client, instance_id: str, *, timeout: timedelta) -> StartMark | None:
    """None: it was never evacuated, or so long ago that Temporal has forgotten it. Raises RPCError."""
    return (await last_run(client, instance_id, timeout=timeout))[0]


async def last_run(client: Client, instance_id: str, *, timeout: timedelta) -> tuple[StartMark | None, bool]:
    """What it has written down, and whether it runs. Raises RPCError."""
    handle = client.get_workflow_handle(evacuate_instance_id(instance_id))
    try:
        described = await handle.describe(rpc_timeout=timeout)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None, False
        raise
    mark = await described.memo_value(LEDGER_MEMO, None, type_hint=StartMark)
    return mark, described.status is WorkflowExecutionStatus.RUNNING
