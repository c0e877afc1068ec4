"""A host that comes back serves nothing until it is reconciled."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

from evacuation import messages as m
from evacuation.errors import HostSilentError
from evacuation.ledger import LedgerMark
from evacuation.model import PowerState
from evacuation.names import evacuate_instance_id, return_queue
from workflows.engine.backoff import Backoff
from workflows.engine.calls import call, held
from workflows.engine.failures import Failure, as_error, failure_of
from workflows.engine.patience import is_slow
from workflows.engine.policies import HOST, SPAWN
from workflows.engine.probing import ask, is_there

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities
    from activities.hosts import HostActivities
    from activities.probe import ProbeActivities

WINDOW = 8
LONGEST_WAIT = 60.0
MOST_SILENT = 5
BURIED_AT_ONCE = 50
"""Each is a file that is written durably."""


@workflow.defn
class ReturnHost:
    """Started by the host's own worker, with who it is and what runs there; it serves its queue only afterwards.

    Guests that were evacuated from here are destroyed by their old epoch, those whose evacuation is in flight are
    paused and waited for, those that belong here are started; one whose disks were taken away is destroyed before.
    While a guest cannot be destroyed or paused, the host does not serve: it may still run. A restarted worker on the
    same boot changes nothing; but if the host has lost what it remembered of this boot, everything that may have been
    called off there is called off again, first."""

    @workflow.init
    def __init__(self, input: m.ReturnHostInput) -> None:
        self._report = input.report
        self._tuning = input.tuning
        self._failed: list[str] = []
        self._noted: list[str] = []
        self._left_to_do: list[str] = []
        self._silent = 0
        self._told: set[str] = set()
        self._ledger: LedgerMark | None = None

    @workflow.run
    async def run(self, input: m.ReturnHostInput) -> m.ReturnPlan:
        plan, backoff = await self._reconcile(), Backoff(0.5, LONGEST_WAIT, self._tuning.scale)
        while plan.held_by or plan.being_cut or self._must_try_again():
            workflow.set_current_details("\n".join(self._held(plan)))
            await self._tell(plan.held_ids)
            await backoff.rest()
            if await self._still_there():
                self._renew_if_long()
                plan = await self._reconcile()
        await self._start(plan.start)
        await held(
            HostActivities.complete_return,
            m.ReturnedHost(host=self._report.host, incarnation=self._report.incarnation, memory=self._report.memory),
            tuning=self._tuning,
            about=f"{self._report.host} is up",
        )
        workflow.set_current_details("\n".join(["In service", *self._failed, *self._noted]))
        return plan.model_copy(update={"ledger": self._ledger})

    async def _tell(self, held: tuple[str, ...]) -> None:
        """Once each: who waits for this host's queue holds it, and would look again only when its wait is over."""
        for instance_id in held:
            if instance_id not in self._told:
                self._told.add(instance_id)
                evacuation = workflow.get_external_workflow_handle(evacuate_instance_id(instance_id))
                # It may have ended meanwhile, or nobody may run it.
                with suppress(FailureError):
                    await evacuation.signal("look_again")

    def _must_try_again(self) -> bool:
        """A guest that must not run here may run."""
        return bool(self._left_to_do)

    def _held(self, plan: m.ReturnPlan) -> list[str]:
        waiting = [f"Held: waiting for the evacuation of {', '.join(plan.held_by)}"] if plan.held_by else []
        waiting += ["Held: its power is being cut"] if plan.being_cut else []
        return [*waiting, *(f"Held: {each}" for each in self._left_to_do)]

    async def _still_there(self) -> bool:
        """What runs there may have changed, so the host is asked again. A host that does not answer is not registered
        by what it said once: that would void the evidence that it is off since. Ends this return if it stays silent;
        a worker that starts there, or waits for this one, begins another. One that answers with an error is there, and
        is waited for."""
        answer = await self._ask_again()
        if isinstance(answer, m.HostReport) and answer.incarnation == self._report.incarnation:
            self._report, self._silent = answer, 0
            return True
        if isinstance(answer, Failure):
            self._silent = 0
            workflow.set_current_details(f"Held: {self._report.host} answers with an error: {answer.line}")
            self._renew_if_long()
            return False
        self._silent += 1
        if self._silent >= MOST_SILENT:
            message = f"{self._report.host} does not answer any more as {self._report.incarnation}"
            raise as_error(Failure(type=HostSilentError.__name__, message=message))
        return False

    def _renew_if_long(self) -> None:
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(m.ReturnHostInput(report=self._report, tuning=self._tuning))

    async def _ask_again(self) -> m.HostReport | Failure | None:
        request = m.ProbeRequest(host=self._report.host, hypervisor_uuid=self._report.hypervisor_uuid)
        about = f"what runs on {self._report.host} now?"
        return await ask(ProbeActivities.list_guests, request, self._tuning, about=about)

    async def _reconcile(self) -> m.ReturnPlan:
        self._left_to_do = []
        plan = await held(
            HostActivities.register_host, self._report, tuning=self._tuning, about=f"register {self._report.host}"
        )
        self._ledger = plan.ledger
        await self._bury(plan.bury)
        for guest in plan.quarantine:
            await self._must(GuestActivities.pause_guest, self._guest(guest), f"quarantine {guest.name}")
        for guest in plan.destroy:
            about = f"destroy {guest.name}: {guest.why}"
            if await self._must(GuestActivities.destroy_guest, self._guest(guest), about):
                await held(
                    HostActivities.record_destroyed,
                    self._host_guest(guest),
                    tuning=self._tuning,
                    about=f"record that {guest.name} is gone from here",
                )
        return plan

    async def _bury(self, guests: tuple[m.GuestKey, ...]) -> None:
        """By a worker that has lost what it remembered."""
        for first in range(0, len(guests), BURIED_AT_ONCE):
            some = guests[first : first + BURIED_AT_ONCE]
            about = f"call off again what {self._report.host} has forgotten: {len(some)} of {len(guests)} guests"
            await self._must(GuestActivities.bury_guests, m.BuryGuests(call=self._call, guests=some), about)

    def _guest(self, guest: m.GuestKey) -> m.GuestCall:
        return m.GuestCall(call=self._call, instance_id=guest.instance_id, epoch=guest.epoch)

    async def _must(self, activity: Callable[[Any, Any], Any], message: m.GuestCall | m.BuryGuests, about: str) -> bool:
        """A call that fails is tried again before the host serves; it is named in the details."""
        try:
            await call(
                activity,
                message,
                queue=return_queue(self._report.host),
                policy=HOST,
                tuning=self._tuning,
                about=about,
            )
            return True
        except ActivityError as error:
            self._left_to_do.append(f"{about}: {failure_of(error).line}")
            workflow.logger.warning("%s: %s", about, failure_of(error).line)
            return False

    async def _start(self, guests: tuple[m.GuestKey, ...]) -> None:
        """A window at a time; one that cannot start does not keep the host from serving."""
        gate = asyncio.Semaphore(WINDOW)

        async def one(guest: m.GuestKey) -> None:
            async with gate:
                await self._start_until_it_fails_for_good(guest)

        await asyncio.gather(*(one(guest) for guest in guests))

    async def _start_until_it_fails_for_good(self, guest: m.GuestKey) -> None:
        tries_left, began = 3, workflow.now()
        while True:
            try:
                await self._start_one(guest)
                return
            except ActivityError as error:
                failure = failure_of(error)
                # While the host answers, its guest may still be starting: by the same epoch it is found, or started.
                tries_left -= not await self._is_slow(failure, began)
                if not tries_left or not failure.retryable:
                    self._fail(f"start {guest.name}", error)
                    return
            await workflow.sleep(1.0 * self._tuning.scale)

    async def _is_slow(self, failure: Failure, began: datetime) -> bool:
        if not is_slow(failure) or workflow.now() - began >= self._tuning.patience * self._tuning.scale:
            return False
        return await is_there(self._report.host, self._report.hypervisor_uuid, self._tuning)

    async def _start_one(self, guest: m.GuestKey) -> None:
        spec = await held(
            HostActivities.authorize_start,
            self._host_guest(guest),
            tuning=self._tuning,
            about=f"authorise {guest.name} here",
        )
        self._ledger = spec.ledger
        state = await call(
            GuestActivities.start_guest,
            m.SpawnGuest(call=self._call, guest=spec),
            queue=return_queue(self._report.host),
            policy=SPAWN,
            tuning=self._tuning,
            about=f"start {guest.name}",
        )
        if state.note:
            self._noted.append(f"- {state.note}")
        await self._record_started(guest, spec.epoch, state.power_state)

    async def _record_started(self, guest: m.GuestKey, epoch: int, power_state: PowerState) -> None:
        started = self._host_guest(guest).model_copy(update={"epoch": epoch})
        await held(
            HostActivities.record_started,
            m.RecordStarted(guest=started, power_state=power_state),
            tuning=self._tuning,
            about=f"{guest.name} is {power_state}",
        )

    def _fail(self, about: str, error: ActivityError) -> None:
        self._failed.append(f"- {about}: {failure_of(error).line}")
        workflow.logger.warning("%s: %s", about, failure_of(error).line)

    def _host_guest(self, guest: m.GuestKey) -> m.HostGuest:
        return m.HostGuest(
            host=self._report.host,
            incarnation=self._report.incarnation,
            instance_id=guest.instance_id,
            epoch=guest.epoch,
        )

    @property
    def _call(self) -> m.HostCall:
        return m.HostCall(
            host=self._report.host,
            hypervisor_uuid=self._report.hypervisor_uuid,
            incarnation=self._report.incarnation,
            ledger=self._ledger,
        )
