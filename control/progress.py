"""How far an evacuation has come, as its workflow says, and as Temporal says of what it tries again and again."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from control.running import Handle
from evacuation.messages import Progress
from evacuation.names import PROGRESS
from evacuation.retries import Retrying
from services.runtime.retrying import retries_in

FAILING_EVERY = 3.0
"""Seconds between two looks at what is tried again and again."""
SHORTLY = timedelta(seconds=2)


class Failing:
    """What Temporal tries again and again, which the workflow itself does not know: asked for now and then."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        self._found: dict[str, Retrying | None] = {}

    async def marked(self, handle: Handle, progress: Progress) -> Progress:
        now = asyncio.get_running_loop().time()
        if now - self._asked.setdefault(handle.id, now) > FAILING_EVERY:
            self._asked[handle.id] = now
            self._found[handle.id] = await self._look(handle, progress)
        return progress.model_copy(update={"retrying": progress.retrying or self._found.get(handle.id)})

    async def _look(self, handle: Handle, progress: Progress) -> Retrying | None:
        with suppress(RPCError):
            described = await handle.describe(rpc_timeout=SHORTLY)
            found = await retries_in(
                handle, described, evacuation_id=progress.evacuation_id, instance=progress.instance
            )
            return found[0] if found else None
        return None


async def progress_of(handle: Handle) -> Progress | None:
    """A worker that is busy or gone answers no query; the evacuation goes on all the same."""
    with suppress(RPCError, WorkflowQueryFailedError):
        return await handle.query(PROGRESS, result_type=Progress, rpc_timeout=SHORTLY)
    return None
