"""How an evacuation is opened: checked, its source proven off, begun; or taken over where another run left it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.errors import OwnerChangedError
from evacuation.model import EvidenceKind
from evacuation.request import refuse_unfenced
from evacuation.transitions import EndingCause
from workflows.engine.compensation import Shield
from workflows.engine.failures import Failure, failure_of, failure_of_refusal
from workflows.engine.policies import CONTROL, MUST_HOLD
from workflows.engine.steps import Steps
from workflows.evacuating.asking import ask_host, note_answer, refused
from workflows.evacuating.attempts import FINAL_CAUSES, Attempts
from workflows.evacuating.backward import Backward
from workflows.evacuating.endings import Ended, cancelled
from workflows.evacuating.retreat import Retreat
from workflows.evacuating.source_fence import SourceFence
from workflows.evacuating.state import State

with workflow.unsafe.imports_passed_through():
    from activities.instance_state import InstanceStateActivities


class Opening:
    def __init__(
        self,
        state: State,
        steps: Steps,
        back: Backward,
        source_fence: SourceFence,
        attempts: Attempts,
        retreat: Retreat,
        shield: Shield,
        *,
        carries_on: bool,
    ) -> None:
        """`carries_on`: what an earlier run opened. That waits for the store, however long it takes."""
        self._state = state
        self._steps = steps
        self._back = back
        self._source_fence = source_fence
        self._attempts = attempts
        self._retreat = retreat
        self._shield = shield
        self._policy = MUST_HOLD if carries_on else CONTROL
        self._carries_on = carries_on
        self.decision: m.Acceptance | Failure | None = None

    async def open(self) -> bool:
        """True: the guest of an attempt that an earlier run left runs as wanted. False: it is open, and no attempt is
        under way. Raises Ended."""
        check = self._check_request()
        await self._or_end(self._shield.run(check) if self._carries_on else check)
        if self._state.facts.adopts is not None:
            await self._begin_evacuation()
            self._accept()
            if await self._shield.run(self._settle_what_was_left()):
                return True
            await self._or_end(self._prove_source_off())
            return False
        await self._or_end(self._prove_source_off())
        await self._begin_evacuation()
        return self._state.came_between and await self._shield.run(self._settle_what_was_left())

    async def _check_request(self) -> None:
        """Read-only. The placement is tried dry, so that nothing is switched off in vain."""
        checked = await self._steps.control(
            InstanceStateActivities.check_request,
            self._state.request,
            policy=self._policy,
            about="check the request",
        )
        self._state.checked, self._state.name = checked, checked.instance.name
        self._state.deleted = self._state.deleted or checked.deleted
        self._steps.display.instance, self._steps.display.source = checked.instance.name, checked.instance.source

    async def _prove_source_off(self) -> None:
        """The source's own worker is asked: an answer, be it an error, means up, silence only that nobody answers. Then
        evidence."""
        facts = self._state.facts
        if facts.evidence is None or facts.evidence.kind != EvidenceKind.POWER_OFF:
            answer = await ask_host(self._steps, facts.instance.source, facts.source_uuid)
            if answer is not None:
                await note_answer(self._steps, facts.instance.source, answer)
                raise Ended(EndingCause.REFUSED, refused(facts, answer))
        refusal = refuse_unfenced(self._state.request, facts)
        if refusal is not None and not self._state.tuning.await_evidence:
            raise Ended(EndingCause.REFUSED, failure_of_refusal(refusal))
        self._accept()
        # A host is not switched off for an instance that nothing can take, unless that is to be waited for.
        if not facts.no_host or self._state.request.wait_for_capacity is not None:
            await self._fence_source()

    async def _fence_source(self) -> None:
        try:
            await self._source_fence.prove()
        except ActivityError as error:
            failure = failure_of(error)
            raise (cancelled() if failure.cancelled else Ended(EndingCause.FENCE_FAILED, failure)) from error

    def _accept(self) -> None:
        instance = self._state.facts.instance
        self.decision = self.decision or m.Acceptance(
            evacuation_id=self._state.ref.evacuation_id,
            instance_id=instance.id,
            instance=instance.name,
            source=instance.source,
            also_stopped=self._state.facts.also_stopped,
        )

    async def _begin_evacuation(self) -> None:
        """Shielded: a cancel must not leave it unknown whether there is something to close."""
        await self._shield.run(self._begin())
        if self._shield.cancel_came and self._state.facts.adopts is None:
            raise cancelled()

    async def _begin(self) -> None:
        while self._state.begun is None:
            self._state.asked_to_begin = True
            try:
                begun = await self._source_fence.relying(self._ask_to_begin)
            except ActivityError as error:
                failure = failure_of(error)
                if not failure.means(OwnerChangedError):
                    raise Ended(FINAL_CAUSES.get(failure.type, EndingCause.LOST_COMPARE_AND_SWAP), failure) from error
                # A late call of a closed run wrote first: adopt what it opened.
                await self._or_end(self._check_request())
                continue
            except asyncio.CancelledError as error:
                # It came while the source was fenced once more. Nothing is open yet; the end is recorded all the same.
                raise cancelled() from error
            self._enter(begun)

    async def _ask_to_begin(self) -> m.Begun:
        facts = self._state.facts
        message = m.Begin(
            ref=self._state.ref,
            instance=facts.instance,
            source_incarnation=facts.source_incarnation,
            adopts=facts.adopts,
            request_id=self._state.request.request_id,
            evidence=self._state.evidence,
            witnessed=facts.witnessed,
        )
        return await self._steps.control(
            InstanceStateActivities.begin_evacuation, message, policy=self._policy, about="begin the evacuation"
        )

    def _enter(self, begun: m.Begun) -> None:
        state = self._state
        state.begun, state.started_at = begun, begun.started_at
        state.ref = state.ref.model_copy(update={"evacuation_id": begun.evacuation_id})
        self._steps.display.evacuation_id = begun.evacuation_id
        self._attempts.start_after(begun.attempt)

    async def _settle_what_was_left(self) -> bool:
        """A run before this one was terminated or reset. Its residence first: True if its guest runs as wanted and
        is taken forward. Everything else it left is unwound."""
        begun = self._state.evacuation
        self._retreat.enter(begun.attempt)
        self._state.to = begun.destination
        if await self._back.is_left_started(begun.phase):
            return True
        self._retreat.end_if_called_off()
        return False

    async def _or_end(self, work: Coroutine[Any, Any, None]) -> None:
        """`work` that leaves nothing to be undone: a cancel, or a failure of it, ends the evacuation at once."""
        try:
            await work
        except (ActivityError, asyncio.CancelledError) as error:
            failure = failure_of(error)
            if failure.cancelled:
                raise cancelled() from error
            raise Ended(EndingCause.REFUSED, failure) from error
