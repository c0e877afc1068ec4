"""Undoing one attempt: its guest first, then everything else in reverse, each until it holds."""

from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.errors import EvidenceVoidedError
from evacuation.model import Evidence, EvidenceKind
from workflows.engine.compensation import Compensations
from workflows.engine.failures import StepFailed, failure_of
from workflows.engine.steps import Steps, call_to
from workflows.evacuating.settling import Settling
from workflows.evacuating.state import State

with workflow.unsafe.imports_passed_through():
    from activities.block_devices import BlockDeviceActivities
    from activities.capacity import CapacityActivities
    from activities.instance_state import InstanceStateActivities
    from activities.network import NetworkActivities
    from activities.volumes import GuestVolumeActivities

AFTER_REFUSED_CAPACITY = ("tear_down_network", "tear_down_block_devices")
"""Run even though the attempt set nothing up: they remove what an adopted earlier one left."""

SPAWN = "spawn_guest"

EVERYTHING = ("release_capacity", *AFTER_REFUSED_CAPACITY, "disconnect_volumes")


class Backward:
    def __init__(self, state: State, steps: Steps) -> None:
        self._state = state
        self._steps = steps
        self._stack = Compensations()
        self.settling = Settling(steps, state)
        self._left: int | None = None
        self._compensations: dict[str, Callable[[], Awaitable[None]]] = {
            "release_capacity": self._release_capacity,
            "tear_down_network": self._tear_down_network,
            "tear_down_block_devices": self._tear_down_block_devices,
            "disconnect_volumes": self._disconnect_volumes,
        }

    def can_undo(self, *names: str) -> None:
        """Register compensations, before the step that each undoes."""
        for name in names:
            self._stack.push(name, self._compensations[name])

    async def is_left_started(self, phase: m.AttemptPhase) -> bool:
        """Whether the guest of the attempt that an earlier run left runs as wanted. If not, all of it is unwound."""
        if phase == m.AttemptPhase.UNDONE:
            return False
        self.can_undo(*EVERYTHING)
        self._left = self._state.ref.attempt
        started = phase == m.AttemptPhase.STARTED
        self._state.asked_to_authorize = started or phase == m.AttemptPhase.AUTHORIZED
        # A recorded start is not asked for any more: whatever its host says, or does not say, it goes forward.
        if (started and not self._state.deleted) or await self.settle_guest():
            return True
        await self.unwind()
        return False

    async def settle_guest(self) -> bool:
        """Whether the attempt's guest runs as wanted, so that it goes forward all the same.

        If not, it cannot come any more, and the proof is written, before anything else is undone."""
        if not self._state.asked_to_authorize or self._state.to is None:
            return False
        called_off = await self._steps.hold(
            InstanceStateActivities.call_off_attempt, self._state.ref, about="was the spawn authorised?"
        )
        return called_off.authorized and await self._settle(self._state.to, bereft=called_off.bereft)

    async def _settle(self, to: m.Destination, *, bereft: bool) -> bool:
        """Again, when the host was seen alive before what was said of it became the proof."""
        while True:
            evidence = await self.settling.settle(to, bereft=bereft)
            if evidence is None:
                return True
            try:
                await self._record_gone(to, evidence)
            except ActivityError as error:
                if not failure_of(error).means(EvidenceVoidedError):
                    raise
            else:
                return False

    async def _record_gone(self, to: m.Destination, evidence: Evidence) -> None:
        await self._steps.hold(
            InstanceStateActivities.record_guest_gone,
            m.RecordGuestGone(
                ref=self._state.ref, evidence=evidence, begun=self._may_have_begun, events=self._steps.events
            ),
            about=f"record that it does not run on {to.host}",
        )
        self._state.destination_fenced = evidence.kind != EvidenceKind.GUEST_GONE

    @property
    def _may_have_begun(self) -> bool:
        """Of what an earlier run left nobody knows."""
        attempt = self._state.ref.attempt
        return self._left == attempt or (attempt, SPAWN) in self._steps.begun

    async def unwind(self) -> None:
        self._steps.display.enter("undoing")
        await self._stack.unwind()

    @property
    def _message(self) -> m.Undo:
        return m.Undo(ref=self._state.ref)

    async def _release_capacity(self) -> None:
        await self._steps.hold(CapacityActivities.release_capacity, self._message, about="give the capacity back")

    async def _tear_down_network(self) -> None:
        await self._steps.hold(
            NetworkActivities.tear_down_network,
            self._message,
            about=f"bind ports back to {self._state.facts.instance.source}",
        )

    async def _tear_down_block_devices(self) -> None:
        await self._steps.hold(
            BlockDeviceActivities.tear_down_block_devices, self._message, about="reserve the volumes again"
        )

    async def _disconnect_volumes(self) -> None:
        """Skipped when the host is fenced. A host that stays silent for the hold is let be: no guest was started
        there, and its attachments are deleted at the volume service next."""
        to = self._state.to
        if to is None or self._state.destination_fenced:
            return
        call = m.GuestCall(call=call_to(to), instance_id=self._state.ref.instance_id, epoch=to.epoch)
        give_up = workflow.now() + self._state.tuning.hold * self._state.tuning.scale
        while True:
            try:
                await self._steps.on_host(
                    GuestVolumeActivities.disconnect_volumes, call, to=to, about=f"disconnect volumes on {to.host}"
                )
                return
            except StepFailed:
                return
            except ActivityError as error:
                if failure_of(error).not_started or workflow.now() >= give_up:
                    return
            await workflow.sleep(1.0 * self._state.tuning.scale)
