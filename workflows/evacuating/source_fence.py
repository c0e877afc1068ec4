"""A source that cannot be proven off: the evacuation ends, or it waits for the evidence in the open."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.errors import FenceFailedError, PowerReadsOnError, SourceNotFencedError
from evacuation.transitions import EndingCause
from workflows.engine.backoff import Backoff
from workflows.engine.failures import failure_of
from workflows.engine.steps import Steps
from workflows.evacuating.asking import note_answer, refused
from workflows.evacuating.endings import Ended, deleted
from workflows.evacuating.forward import Forward
from workflows.evacuating.openly import FIRST_WAIT, LONGEST_WAIT
from workflows.evacuating.state import State

T = TypeVar("T")
AWAITED = (FenceFailedError, SourceNotFencedError)
"""Failures of a fence that an operator's word, or somebody at the host, may mend."""


class SourceFence:
    """Fences the source; with `await_evidence` it does not give up, and looks again when somebody says so."""

    def __init__(self, state: State, steps: Steps, forward: Forward) -> None:
        self._state = state
        self._steps = steps
        self._forward = forward

    async def prove(self) -> None:
        """Returns when the source is proven off. Raises Ended when there is nothing to wait for any more, ActivityError
        when the fence fails and nobody is to wait."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                await self._forward.fence_source()
                return
            except ActivityError as error:
                failure = failure_of(error)
                if not self._state.tuning.await_evidence or not failure.means(*AWAITED):
                    raise
            if workflow.cancellation_reason() is not None:
                # It came while the end of the fence was waited for.
                raise asyncio.CancelledError
            self._steps.renew_if_long()
            await self._forward.openly.wait(failure, backoff.take())
            await self._end_if_it_is_back()

    async def relying(self, step: Callable[[], Awaitable[T]]) -> T:
        """`step`, which takes the source for off. Where its power reads on, whatever was said of it, it is fenced for
        real first, once; it may be back, and is asked before it is cut. Raises Ended when it is, and ActivityError."""
        try:
            return await step()
        except ActivityError as error:
            if not failure_of(error).means(PowerReadsOnError):
                raise
        await self._end_if_it_is_back()
        await self.prove()
        self._steps.display.enter("evacuating")
        return await step()

    async def _end_if_it_is_back(self) -> None:
        """It is asked before its power is touched again. Raises Ended, also where the instance was deleted."""
        if self._state.deleted:
            raise deleted(self._state.name)
        facts = self._state.facts
        answer = await self._steps.probe(facts.instance.source, facts.source_uuid, doubted=True)
        if answer is not None:
            await note_answer(self._steps, facts.instance.source, answer)
            raise Ended(EndingCause.REFUSED, refused(facts, answer))
