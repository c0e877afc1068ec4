"""A source that cannot be proven off: the evacuation ends, or it waits for the evidence in the open."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.transitions import EndingCause
from workflows.engine.backoff import Backoff
from workflows.engine.failures import failure_of
from workflows.engine.steps import Steps
from workflows.evacuating.asking import note_answer, refused
from workflows.evacuating.attempts import FENCE_FAILURES
from workflows.evacuating.endings import Ended, deleted
from workflows.evacuating.forward import Forward
from workflows.evacuating.openly import FIRST_WAIT, LONGEST_WAIT
from workflows.evacuating.state import State

T = TypeVar("T")
AWAITED = frozenset({*FENCE_FAILURES, "SourceNotFencedError"})
"""Failures of a fence that an operator's word, or somebody at the host, may mend."""


class SourceFence:
    """Fences the source; with `await_evidence` it does not give up, and looks again when somebody says so."""

    def __init__(self, state: State, steps: Steps, forward: Forward) -> None:
        self._state = state
        self._steps = steps
        self._forward = forward

    async def prove(self) -> Ended | None:
        """None: the source is proven off. Else why there is nothing to wait for any more. Raises ActivityError when
        the fence fails and nobody is to wait."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                await self._forward.fence_source()
                return None
            except ActivityError as error:
                failure = failure_of(error)
                if not self._state.tuning.await_evidence or failure.type not in AWAITED:
                    raise
            if workflow.cancellation_reason() is not None:
                # It came while the end of the fence was waited for.
                raise asyncio.CancelledError
            await self._forward.openly.wait(failure, backoff.take())
            over = await self._why_over()
            if over is not None:
                return over

    async def relying(self, step: Callable[[], Awaitable[T]]) -> T:
        """`step`, which takes the source for off. Where its power reads on, whatever was said of it, it is fenced for
        real first, once; it may be back, and is asked before it is cut. Raises Ended when it is, and ActivityError."""
        try:
            return await step()
        except ActivityError as error:
            if failure_of(error).type != "PowerReadsOnError":
                raise
        over = await self._why_over() or await self.prove()
        if over is not None:
            raise over
        self._steps.display.enter("evacuating")
        return await step()

    async def _why_over(self) -> Ended | None:
        """The source may be back: it is asked before its power is touched again."""
        if self._state.deleted:
            return deleted(self._state.name)
        facts = self._state.facts
        answer = await self._steps.probe(facts.instance.source, facts.source_uuid, doubted=True)
        if answer is None:
            return None
        await note_answer(self._steps, facts.instance.source, answer)
        return Ended(EndingCause.REFUSED, refused(facts, answer))
