"""A destination whose spawn ended unknown: ask it, prove it off, or wait in the open. Never assume."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.fencing import is_voidable
from evacuation.messages import Destination, EvidenceQuery, FenceRequest, GuestCall, Settled
from evacuation.model import Evidence, EvidenceKind
from evacuation.request import MOST_OF_AN_ERROR, answered_with_error
from workflows.engine.backoff import Backoff
from workflows.engine.failures import Failure, failure_of
from workflows.engine.patience import is_slow
from workflows.engine.policies import CONTROL, FENCE, HOST
from workflows.engine.probing import is_there
from workflows.engine.steps import Steps, call_to
from workflows.evacuating.asking import note_answer
from workflows.evacuating.state import State

with workflow.unsafe.imports_passed_through():
    from activities.fencing import FencingActivities
    from activities.guest import GuestActivities
    from activities.instance_state import InstanceStateActivities

LONGEST_WAIT = 600.0
FENCE_DESTINATION = replace(FENCE, deadline=60)


class Settling:
    """Decides about one guest on one destination.

    Its worker answers: forward, or gone. It does not for the hold: evidence that exists by now, or the destination's
    fence under the same policy as a source. Neither: blocked, with cause and remedy, until one of them is to be had.
    What was said of the host proves nothing in a round in which its worker answers, be it with an error. A host that
    answers, and is only slow, is not fenced: it is asked until it can tell. A guest that runs, and whose disks a fence
    has taken away that came to nothing else, is destroyed: only one that can write goes forward."""

    def __init__(self, steps: Steps, state: State) -> None:
        self._steps = steps
        self._state = state
        self._nudged = False
        self._bereft = False
        self._tried_to_fence = False
        self._said = ""
        """Why the destination's worker, which answers, could not tell."""

    def nudge(self) -> None:
        """Something changed: look again now."""
        self._nudged = True

    async def settle(self, to: Destination, *, bereft: bool = False) -> Evidence | None:
        """None: the guest runs there as wanted, go forward. Else the proof that it is gone. `bereft`: its disks are
        known to be taken away."""
        display, scale = self._steps.display, self._steps.tuning.scale
        display.enter("settling")
        self._nudged, self._bereft, self._tried_to_fence = False, bereft, False
        began, backoff = workflow.now(), Backoff(HOST.schedule_to_start or 0, LONGEST_WAIT)
        while True:
            self._steps.renew_if_long()
            answer = await self._ask(to, backoff.pause)
            if isinstance(answer, Settled):
                if not answer.forward:
                    return self._gone(to, answer)
                if not await self._has_lost_its_disks():
                    return None
                continue
            evidence = await self._find_evidence(to)
            if evidence is None and (workflow.now() - began) >= self._steps.tuning.hold * scale:
                evidence = await self._prove_off(to, answer)
            if evidence is not None and not await self._is_contradicted(to, evidence, answer):
                return evidence
            if display.phase == "blocked":
                backoff.take()

    async def _has_lost_its_disks(self) -> bool:
        """From then on it is destroyed, and not asked for any more."""
        if self._tried_to_fence:
            called_off = await self._steps.hold(
                InstanceStateActivities.call_off_attempt, self._state.ref, about="has it lost its disks?"
            )
            self._bereft = called_off.bereft
        return self._bereft

    async def _ask(self, to: Destination, wait: float) -> Settled | Failure | None:
        """What the destination says, be it an error, or None: nobody answers. A nudge ends the waiting, also one that
        came since the last."""
        asking = asyncio.create_task(self._call(to, wait))
        await workflow.wait_condition(lambda: asking.done() or self._nudged)
        self._nudged = False
        if not asking.done():
            asking.cancel()
        self._said = ""
        try:
            return await asking
        except (ActivityError, asyncio.CancelledError) as error:
            failure = failure_of(error)
            if not isinstance(error, asyncio.CancelledError):
                await self._pause(failure)
            return None if failure.silent or failure.cancelled else failure

    async def _call(self, to: Destination, wait: float) -> Settled:
        is_to_go = self._state.deleted or self._bereft
        activity = GuestActivities.destroy_guest if is_to_go else GuestActivities.settle_guest
        message = GuestCall(
            call=call_to(to),
            instance_id=self._state.ref.instance_id,
            epoch=to.epoch,
            power_state=self._state.power_state,
        )
        verb = "destroy" if is_to_go else "settle"
        return await self._steps.once_on_host(
            activity,
            message,
            to=to,
            policy=replace(HOST, schedule_to_start=wait),
            about=f"{verb} {self._state.name} on {to.host}",
        )

    async def _pause(self, failure: Failure) -> None:
        """An answer that was an error comes back at once: do not spin."""
        if not failure.not_started:
            await workflow.sleep(1.0 * self._steps.tuning.scale)

    def _gone(self, to: Destination, answer: Settled) -> Evidence:
        return Evidence(
            kind=EvidenceKind.GUEST_GONE,
            host=to.host,
            incarnation=to.incarnation,
            who=f"{to.host} ({answer.incarnation})",
            reason="its own worker destroyed it and read back",
            at=workflow.now(),
            scope=self._state.ref.instance_id,
        )

    async def _find_evidence(self, to: Destination) -> Evidence | None:
        try:
            return await self._steps.control(
                FencingActivities.find_evidence,
                EvidenceQuery(host=to.host, incarnation=to.incarnation, instance_id=self._state.ref.instance_id),
                policy=CONTROL,
                about=f"is {to.host} proven off?",
            )
        except ActivityError:
            return None

    async def _is_contradicted(self, to: Destination, evidence: Evidence, answer: Failure | None) -> bool:
        """A worker that answers, if with an error, is not off. It may have been switched off since it answered: then
        it is silent the next time."""
        if answer is None or not is_voidable(evidence):
            return False
        await note_answer(self._steps, to.host, answer)
        self._block(to, self._heard(to, answer), answered_with_error(to.host))
        return True

    async def _prove_off(self, to: Destination, answer: Failure | None) -> Evidence | None:
        """Not one that answers its probe while its settling takes long, or waits for an earlier call."""
        if await self._is_slow(to, answer):
            why = answer.message if answer else "it takes longer than it may"
            cause = f"{to.host} answers, and cannot tell yet whether {self._state.name} runs there: {why}"
            self._block(to, cause, f"wait, or mend what keeps {to.host} from it; {answered_with_error(to.host)}")
            return None
        return await self._fence_or_block(to, answer)

    async def _is_slow(self, to: Destination, answer: Failure | None) -> bool:
        if answer is not None:
            return is_slow(answer)
        return await is_there(to.host, to.hypervisor_uuid, self._steps.tuning)

    async def _fence_or_block(self, to: Destination, answer: Failure | None) -> Evidence | None:
        request = FenceRequest(
            host=to.host, incarnation=to.incarnation, instance_id=self._state.ref.instance_id, spare_others=True
        )
        self._tried_to_fence = True
        try:
            return await self._steps.control(
                FencingActivities.fence_destination, request, policy=FENCE_DESTINATION, about=f"fence {to.host}"
            )
        except ActivityError as error:
            heard = (
                self._heard(to, answer) if answer else f"{to.host} does not answer, so {self._state.name} may run there"
            )
            self._block(to, f"{heard}; {failure_of(error).message}", answered_with_error(to.host) if answer else "")
            return None

    def _heard(self, to: Destination, answer: Failure) -> str:
        error = f"{answer.type}: {answer.message}"[:MOST_OF_AN_ERROR]
        return f"{to.host} answers with an error ({error}), so {self._state.name} may run there"

    def _block(self, to: Destination, cause: str, remedy: str) -> None:
        display = self._steps.display
        entered = display.phase != "blocked"
        silent = (
            f"bring the worker of {to.host} back, or power {to.host} off and say: "
            f'evacuate host down {to.host} --confirmed-off "who saw it, how"'
        )
        display.enter("blocked", cause=cause, remedy=remedy or silent)
        if entered:
            display.publish()
