"""A destination whose spawn ended unknown: ask it, prove it off, or wait in the open. Never assume."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.messages import Destination, EvidenceQuery, FenceRequest, GuestCall, Settled
from evacuation.model import Evidence, EvidenceKind
from workflows.failures import Failure, failure_of
from workflows.policies import CONTROL, FENCE, HOST
from workflows.state import State
from workflows.steps import Steps, call_to

with workflow.unsafe.imports_passed_through():
    from activities.fencing import FencingActivities
    from activities.guest import GuestActivities

LONGEST_WAIT = 600.0
FENCE_DESTINATION = replace(FENCE, deadline=60)


class Settling:
    """Decides about one guest on one destination.

    Its worker answers: forward, or gone. It does not for the hold: evidence that exists by now, or the destination's
    fence under the same policy as a source. Neither: blocked, with cause and remedy, until one of them is to be had."""

    def __init__(self, steps: Steps, state: State) -> None:
        self._steps = steps
        self._state = state
        self._nudged = False

    def nudge(self) -> None:
        """Something changed: look again now."""
        self._nudged = True

    async def settle(self, to: Destination) -> Evidence | None:
        """None: the guest runs there as wanted, go forward. Else the proof that it is gone."""
        display, scale = self._steps.display, self._steps.tuning.scale
        display.enter("settling")
        self._nudged = False
        began, wait = workflow.now(), HOST.schedule_to_start or 0
        while True:
            self._steps.renew_if_long()
            answer = await self._ask(to, wait)
            if answer is not None:
                return None if answer.forward else self._gone(to, answer)
            evidence = await self._find_evidence(to)
            if evidence is None and (workflow.now() - began) >= self._steps.tuning.hold * scale:
                evidence = await self._fence_or_block(to)
            if evidence is not None:
                return evidence
            if display.phase == "blocked":
                wait = min(wait * 2, LONGEST_WAIT)

    async def _ask(self, to: Destination, wait: float) -> Settled | None:
        """The destination's answer, or None. A nudge ends the waiting, also one that came since the last."""
        asking = asyncio.create_task(self._call(to, wait))
        await workflow.wait_condition(lambda: asking.done() or self._nudged)
        self._nudged = False
        if not asking.done():
            asking.cancel()
        try:
            return await asking
        except (ActivityError, asyncio.CancelledError) as error:
            if not isinstance(error, asyncio.CancelledError):
                await self._pause(failure_of(error))
            return None

    async def _call(self, to: Destination, wait: float) -> Settled:
        deleted = self._state.deleted
        activity = GuestActivities.destroy_guest if deleted else GuestActivities.settle_guest
        message = GuestCall(
            call=call_to(to),
            instance_id=self._state.ref.instance_id,
            epoch=to.epoch,
            power_state=self._state.power_state,
        )
        verb = "destroy" if deleted else "settle"
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
            scope=f"guest {self._state.ref.instance_id}",
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

    async def _fence_or_block(self, to: Destination) -> Evidence | None:
        request = FenceRequest(
            host=to.host, incarnation=to.incarnation, instance_id=self._state.ref.instance_id, spare_others=True
        )
        try:
            return await self._steps.control(
                FencingActivities.fence_destination, request, policy=FENCE_DESTINATION, about=f"fence {to.host}"
            )
        except ActivityError as error:
            self._block(to, failure_of(error))
            return None

    def _block(self, to: Destination, failure: Failure) -> None:
        display = self._steps.display
        entered = display.phase != "blocked"
        display.enter(
            "blocked",
            cause=f"{to.host} does not answer, so {self._state.name} may run there; {failure.message}",
            remedy=f"bring the worker of {to.host} back, or power {to.host} off and say: "
            f'evacuate host down {to.host} --confirmed-off "who saw it, how"',
        )
        if entered:
            display.publish()
