"""Waiting in the open: phase `blocked` with cause and remedy, until somebody says that something changed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.errors import PoisonousStartError
from workflows.engine.backoff import Backoff
from workflows.engine.failures import Failure, failure_of
from workflows.engine.steps import Steps
from workflows.evacuating.state import State

T = TypeVar("T")
FIRST_WAIT = 5.0
LONGEST_WAIT = 600.0
"""Seconds, of a wait that is twice as long each time."""


class Openly:
    def __init__(self, state: State, steps: Steps) -> None:
        self._state = state
        self._steps = steps
        self._nudged = False

    def nudge(self) -> None:
        """Something changed: look again now."""
        self._nudged = True

    async def wait(self, failure: Failure, seconds: float) -> None:
        """So long, or until a nudge, also one that came since the last wait; a deletion ends it, too. Raises
        CancelledError, also under a shield, which keeps a cancel from whoever waits."""
        display = self._steps.display
        entered = display.phase != "blocked"
        display.enter("blocked", cause=failure.message, remedy=failure.remedy)
        if entered:
            display.publish()
        longest = timedelta(seconds=seconds * self._steps.tuning.scale)
        with suppress(TimeoutError):
            await workflow.wait_condition(self._is_over, timeout=longest)
        self._nudged = False
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    def _is_over(self) -> bool:
        return self._nudged or self._state.deleted or workflow.cancellation_reason() is not None

    async def until_pardoned(self, step: Callable[[], Awaitable[T]]) -> T:
        """`step`, which takes the instance to another host: as soon as its starts are not held against it. Raises
        ActivityError."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                return await step()
            except ActivityError as error:
                failure = failure_of(error)
                if not failure.means(PoisonousStartError):
                    raise
            if workflow.cancellation_reason() is not None:
                raise asyncio.CancelledError
            self._steps.renew_if_long()
            await self.wait(failure, backoff.take())
