"""The story of one evacuation, top to bottom. The workflow's id is the lock: one per instance."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.instance_state import InstanceStateActivities

from evacuation import messages as m
from evacuation.model import EvidenceKind
from evacuation.request import refuse_unfenced
from evacuation.transitions import EndingCause
from workflows.engine.compensation import Shield
from workflows.engine.display import Display
from workflows.engine.failures import Failure, StepFailed, as_error, failure_of, failure_of_refusal
from workflows.engine.policies import CONTROL, MUST_HOLD
from workflows.engine.steps import Steps
from workflows.evacuating.adopted import stop_afterwards
from workflows.evacuating.asking import ask_host, note_answer, refused
from workflows.evacuating.attempts import FINAL_CAUSES, NO_HOST, Attempts
from workflows.evacuating.backward import AFTER_REFUSED_CAPACITY, Backward
from workflows.evacuating.endings import Closing, Ended, cancelled, deleted
from workflows.evacuating.forward import Forward
from workflows.evacuating.renewal import Renewal
from workflows.evacuating.source_fence import SourceFence
from workflows.evacuating.state import State


@workflow.defn
class EvacuateInstance:
    """Moves one instance from a dead host to a live one, durably.

    It ends recovered, undone with a reason, or stays open and says why (phase `blocked`). Source: Nova's evacuate."""

    @workflow.init
    def __init__(self, input: m.EvacuateInstanceInput) -> None:
        request = input.request
        self._state = State(
            request=request,
            tuning=input.tuning,
            ref=m.AttemptRef(
                # Not a random id: after a reset to the first task that would be the one of the run before.
                evacuation_id=workflow.info().run_id,
                owner=workflow.info().run_id,
                instance_id=request.instance_id,
            ),
            started_at=workflow.now(),
            name=request.instance_id,
        )
        self._display = Display(request.instance_id, self._state.ref.evacuation_id)
        self._steps = Steps(self._display, input.tuning)
        self._back = Backward(self._state, self._steps)
        self._forward = Forward(self._state, self._steps, self._back)
        self._source_fence = SourceFence(self._state, self._steps, self._forward)
        self._attempts = Attempts(input.tuning)
        self._closing = Closing(self._state, self._steps, self._attempts)
        self._shield = Shield()
        renewal = Renewal(self._state, self._steps, self._attempts, self._shield)
        if input.carried is not None:
            renewal.carry_on(input.carried)
        # What is carried on is open already: it waits for the store, however long that takes.
        self._first_policy = CONTROL if input.carried is None else MUST_HOLD
        self._decision: m.Acceptance | Failure | None = None

    @workflow.run
    async def run(self, input: m.EvacuateInstanceInput) -> m.EvacuationOutcome:
        try:
            return await self._recover()
        except Ended as end:
            self._decision = self._decision or end.failure
            return await self._shield.run(self._closing.close(end))
        finally:
            self._decision = self._decision or Failure(type="EvacuateError", message="the evacuation ended undecided")
            self._display.end_all()
            await self._shield.run(workflow.wait_condition(workflow.all_handlers_finished))

    @workflow.update
    async def request(self, request: m.EvacuationRequest) -> m.Acceptance:
        """Waits for the decision of the checks: the acceptance, or the refusal as the update's failure."""
        await workflow.wait_condition(lambda: self._decision is not None)
        if isinstance(self._decision, Failure):
            raise as_error(self._decision)
        assert self._decision is not None
        return self._decision

    @workflow.signal
    def look_again(self) -> None:
        """Somebody said that a host is off, or back: a blocked evacuation need not wait for its next look."""
        self._back.settling.nudge()
        self._forward.openly.nudge()

    @workflow.signal
    def instance_deleted(self) -> None:
        """The instance is marked deleted: what is under way ends, and a guest that may run is destroyed."""
        self._state.deleted = True
        self._back.settling.nudge()

    @workflow.query
    def progress(self) -> m.Progress:
        return self._display.progress()

    async def _recover(self) -> m.EvacuationOutcome:
        await self._evacuate()
        try:
            outcome = await self._shield.run(self._closing.finish())
        except ActivityError as error:
            # Only a deletion undoes a guest that has started; it is destroyed before anything else.
            await self._shield.run(self._go_back(failure_of(error)))
            raise
        return await self._shield.run(stop_afterwards(self._state, outcome))

    async def _evacuate(self) -> None:
        """Returns when the guest's start is in history: forward only from there."""
        carries_on = self._first_policy is MUST_HOLD
        await self._or_end(self._shield.run(self._check_request()) if carries_on else self._check_request())
        if self._state.facts.adopts is not None:
            await self._begin_evacuation()
            self._accept()
            if await self._shield.run(self._settle_what_was_left()):
                return
            await self._or_end(self._prove_source_off())
        else:
            await self._or_end(self._prove_source_off())
            await self._begin_evacuation()
            if self._state.came_between and await self._shield.run(self._settle_what_was_left()):
                return
        while not await self._attempt():
            pass

    async def _check_request(self) -> None:
        """Source steps 1 to 3, read-only. The placement is tried dry, so that nothing is switched off in vain."""
        checked = await self._steps.control(
            InstanceStateActivities.check_request,
            self._state.request,
            policy=self._first_policy,
            about="check the request",
        )
        self._state.checked, self._state.name = checked, checked.instance.name
        self._state.deleted = self._state.deleted or checked.deleted
        self._display.instance, self._display.source = checked.instance.name, checked.instance.source

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
            over = await self._source_fence.prove()
        except ActivityError as error:
            failure = failure_of(error)
            raise (cancelled() if failure.cancelled else Ended(EndingCause.FENCE_FAILED, failure)) from error
        if over is not None:
            raise over

    def _accept(self) -> None:
        instance = self._state.facts.instance
        self._decision = self._decision or m.Acceptance(
            evacuation_id=self._state.ref.evacuation_id,
            instance_id=instance.id,
            instance=instance.name,
            source=instance.source,
            also_stopped=self._state.facts.also_stopped,
        )

    async def _begin_evacuation(self) -> None:
        """Source steps 3 and 4. Shielded: a cancel must not leave it unknown whether there is something to close."""
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
                if failure.type != "OwnerChangedError":
                    raise Ended(FINAL_CAUSES.get(failure.type, EndingCause.LOST_COMPARE_AND_SWAP), failure) from error
                # A late call of a closed run wrote first: adopt what it opened.
                await self._or_end(self._check_request())
                continue
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
            InstanceStateActivities.begin_evacuation, message, policy=self._first_policy, about="begin the evacuation"
        )

    def _enter(self, begun: m.Begun) -> None:
        state = self._state
        state.begun, state.started_at = begun, begun.started_at
        state.ref = state.ref.model_copy(update={"evacuation_id": begun.evacuation_id})
        self._display.evacuation_id = begun.evacuation_id
        self._attempts.start_after(begun.attempt)

    async def _settle_what_was_left(self) -> bool:
        """A run before this one was terminated or reset. Its residence first: True if its guest runs as wanted and
        is taken forward. Everything else it left is unwound."""
        begun = self._state.evacuation
        self._enter_attempt(begun.attempt)
        self._state.to = begun.destination
        if await self._back.is_left_started(begun.phase):
            return True
        self._end_if_called_off()
        return False

    async def _attempt(self) -> bool:
        """One destination. True: the guest runs there. False: undone, and another try is allowed."""
        # A cancel that came in the last moment of an unwinding was noted and not looked at.
        self._end_if_called_off()
        self._enter_attempt(self._attempts.next())
        forward = self._forward
        try:
            to = await forward.claim_capacity(self._attempts.excluded)
            over = await self._source_fence.prove() if self._state.evidence is None else None
            if over is not None:
                raise over
            connector = await forward.prepare_destination(to)
            await self._source_fence.relying(lambda: forward.record_preparation(connector))
            self._state.prepared = self._attempts.past_preparation = True
            nics = await forward.set_up_network(to)
            devices = await forward.fetch_block_devices()
            await forward.detach_volumes(devices)
            disks = await forward.set_up_block_devices(connector)
            await forward.connect_volumes(to, disks)
            await self._source_fence.relying(lambda: forward.authorize_spawn(connector))
            await self._shield.run(forward.spawn_guest(nics, disks), pass_on=True)
            return True
        except (Ended, ActivityError, StepFailed, asyncio.CancelledError) as error:
            failure = error.failure if isinstance(error, Ended) else failure_of(error)
            return await self._shield.run(self._go_back(failure))

    def _enter_attempt(self, number: int) -> None:
        self._state.enter_attempt(number)
        self._steps.attempt = self._display.attempt = number

    async def _go_back(self, failure: Failure) -> bool:
        """An attempt did not get through. True: its guest runs all the same. False: undone, try another host."""
        if failure.type == "StaleAttemptError":
            raise as_error(failure)
        self._state.deleted = self._state.deleted or failure.type == "InstanceDeletedError"
        if await self._back.settle_guest():
            return True
        if not self._state.prepared:
            self._back.can_undo(*AFTER_REFUSED_CAPACITY)
        await self._back.unwind()
        self._attempts.note(self._state.to, failure)
        self._end_if_over(failure)
        return False

    def _end_if_over(self, failure: Failure) -> None:
        self._end_if_called_off(failure)
        if failure.type in FINAL_CAUSES:
            raise Ended(FINAL_CAUSES[failure.type], failure)
        if failure.type in NO_HOST or self._attempts.used_up:
            raise Ended(self._attempts.cause_when_none_is_left, failure)

    def _end_if_called_off(self, failure: Failure | None = None) -> None:
        if self._state.deleted:
            raise deleted(self._state.name)
        if self._shield.cancel_came or (failure is not None and failure.cancelled):
            raise cancelled()

    async def _or_end(self, work: Coroutine[Any, Any, None]) -> None:
        """`work` that leaves nothing to be undone: a cancel, or a failure of it, ends the evacuation at once."""
        try:
            await work
        except (ActivityError, asyncio.CancelledError) as error:
            failure = failure_of(error)
            if failure.cancelled:
                raise cancelled() from error
            raise Ended(EndingCause.REFUSED, failure) from error
