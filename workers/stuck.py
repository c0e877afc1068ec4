"""A worker whose every slot is held by a call that nobody waits for any more: it ends, and is started again.

A thread in a hung call cannot be ended from outside; the process can. Whoever supervises the worker starts another."""

import asyncio
import os
import time
from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

log = structlog.stdlib.get_logger("worker")
EXIT_CODE = 75
"""As EX_TEMPFAIL: start it again."""
MARGIN = 0.5
"""Seconds past an execution's start-to-close timeout after which Temporal has surely given it up."""
LOOK = 1.0


class Running(Interceptor):
    """Knows until when each activity that executes here is waited for."""

    def __init__(self) -> None:
        self._deadlines: dict[object, float] = {}

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self._deadlines)

    def overdue(self) -> int:
        """How many executions go on though nobody waits for them any more."""
        now = time.monotonic()
        return sum(deadline < now for deadline in self._deadlines.values())


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, deadlines: dict[object, float]) -> None:
        super().__init__(next)
        self._deadlines = deadlines

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        execution, limit = object(), activity.info().start_to_close_timeout
        if limit is not None:
            self._deadlines[execution] = time.monotonic() + limit.total_seconds() + MARGIN
        try:
            return await super().execute_activity(input)
        finally:
            self._deadlines.pop(execution, None)


async def end_when_stuck(running: Running, *, slots: int, queue: str) -> None:
    """Ends this process, with EXIT_CODE, once all of the queue's slots are overdue."""
    while running.overdue() < slots:
        await asyncio.sleep(LOOK)
    log.error("every slot is stuck in a call that does not return: the worker replaces itself", queue=queue)
    os._exit(EXIT_CODE)
