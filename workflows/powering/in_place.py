"""A start or stop on the instance's own host: the old guest is destroyed there first, and that answer is the proof."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.errors import HostDownError, HostSlowError
from evacuation.ledger import Witness
from evacuation.model import PowerState, VmState
from evacuation.names import host_queue
from workflows.engine.calls import call, held
from workflows.engine.compensation import Shield
from workflows.engine.failures import Failure, StepFailed, as_error, failure_of, failure_of_refusal
from workflows.engine.patience import SETTING, is_slow
from workflows.engine.policies import CONTROL, HOST, SPAWN, Policy
from workflows.engine.probing import ask, is_there
from workflows.engine.written import write_down

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities
    from activities.in_place import InPlaceActivities
    from activities.probe import ProbeActivities

T = TypeVar("T")
M = TypeVar("M")
VERBS = {VmState.ACTIVE: "start", VmState.STOPPED: "stop"}


class InPlace:
    """Every step may be executed again, and the whole asked for again from whatever point it was left at: a guest that
    is as wanted is found, any other one is destroyed before the next one may come. What was authorised is recorded to
    its end, also when a cancel comes meanwhile."""

    def __init__(self, instance_id: str, name: str, tuning: m.Tuning) -> None:
        self._instance_id = instance_id
        self._name = name
        self._tuning = tuning
        self._owner = workflow.info().run_id
        self._witnessed: tuple[Witness, ...] = ()
        self._shield = Shield()

    async def bring_to(self, wanted: VmState) -> None:
        """Raises ActivityError, StepFailed: it is not, and the record says so."""
        plan = await self._plan()
        report = await self._look(plan)
        self._witnessed = (Witness(who=plan.host, mark=report.ledger),) if report.ledger else ()
        if plan.residence_epoch is not None and self._is_so(plan, report, wanted):
            await self._record(plan, plan.residence_epoch, wanted)
            return
        about = f"destroy what is left of {self._name} on {plan.host}"
        await self._on_host(plan, GuestActivities.destroy_guest, self._guest_call(plan), policy=HOST, about=about)
        spec = await self._shield.run(self._authorize(plan, wanted))
        write_down(spec.ledger, spec.epoch, plan.host, plan.incarnation)
        try:
            if self._shield.cancel_came:
                raise asyncio.CancelledError
            await self._spawn(plan, spec)
        except (ActivityError, StepFailed, asyncio.CancelledError):
            await self._shield.run(self._record(plan, spec.epoch, None))
            raise
        await self._shield.run(self._record(plan, spec.epoch, wanted))

    async def _plan(self) -> m.InPlacePlan:
        asked = m.InstanceRef(instance_id=self._instance_id)
        about = f"where does {self._name} live?"
        return await call(InPlaceActivities.plan_in_place, asked, policy=CONTROL, tuning=self._tuning, about=about)

    async def _look(self, plan: m.InPlacePlan) -> m.HostReport:
        """No answer, no start: nothing was changed yet."""
        request = m.ProbeRequest(host=plan.host, hypervisor_uuid=plan.hypervisor_uuid)
        answer = await ask(ProbeActivities.list_guests, request, self._tuning, about=f"what runs on {plan.host}?")
        if isinstance(answer, Failure):
            raise StepFailed(answer)
        if answer is None or answer.incarnation != plan.incarnation:
            why = "does not answer" if answer is None else "has booted again, and is coming back"
            error = HostDownError(
                f"{plan.host} {why}: nothing of {self._name} is touched",
                remedy=f"ask again when it is up, or evacuate it: evacuate instance evacuate {self._name}",
            )
            raise StepFailed(failure_of_refusal(error))
        return answer

    def _is_so(self, plan: m.InPlacePlan, report: m.HostReport, wanted: VmState) -> bool:
        """The one guest that may be there is as wanted, and nothing else of the instance runs."""
        mine = [guest for guest in report.guests if guest.instance_id == self._instance_id]
        power = PowerState.RUNNING if wanted == VmState.ACTIVE else PowerState.SHUTDOWN
        as_wanted = [guest.epoch == plan.residence_epoch and guest.power_state == power for guest in mine]
        return bool(mine) and all(as_wanted) and not any(guest.paused for guest in mine)

    async def _authorize(self, plan: m.InPlacePlan, wanted: VmState) -> m.AuthorizedStart:
        message = m.AuthorizeInPlace(
            guest=self._guest(plan, plan.epoch), owner=self._owner, vm_state=wanted, witnessed=self._witnessed
        )
        about = f"{VERBS[wanted]} {self._name} on {plan.host}: its old place is proven empty"
        return await call(
            InPlaceActivities.authorize_in_place, message, policy=CONTROL, tuning=self._tuning, about=about
        )

    async def _spawn(self, plan: m.InPlacePlan, spec: m.AuthorizedStart) -> None:
        call = self._call(plan).model_copy(update={"ledger": spec.ledger})
        message = m.SpawnGuest(call=call, guest=spec)
        about = f"{'spawn' if spec.power_state == PowerState.RUNNING else 'define'} {self._name} on {plan.host}"
        state = await self._on_host(plan, GuestActivities.spawn_guest, message, policy=SPAWN, about=about)
        if state.note:
            workflow.set_current_details(state.note)

    async def _record(self, plan: m.InPlacePlan, epoch: int, vm_state: VmState | None) -> None:
        """`vm_state` None: it could not be brought up, and what it was before stands."""
        power = PowerState.RUNNING if vm_state == VmState.ACTIVE else PowerState.SHUTDOWN
        message = m.RecordInPlace(
            guest=self._guest(plan, epoch), vm_state=vm_state, power_state=power if vm_state else PowerState.NOSTATE
        )
        about = f"{self._name} is {vm_state or 'not up'} on {plan.host}"
        await held(InPlaceActivities.record_in_place, message, tuning=self._tuning, about=about)

    async def _on_host(
        self, plan: m.InPlacePlan, activity: Callable[[Any, M], T], message: M, *, policy: Policy, about: str
    ) -> T:
        """Asked again while the host answers its probe and is busy or slow, for as long as its patience goes."""
        began, patience = workflow.now(), self._tuning.patience * self._tuning.scale
        while True:
            try:
                return await call(
                    activity, message, queue=host_queue(plan.host), policy=policy, tuning=self._tuning, about=about
                )
            except ActivityError as error:
                failure = failure_of(error)
                waits = failure.not_started or is_slow(failure)
                if not waits or not await is_there(plan.host, plan.hypervisor_uuid, self._tuning):
                    raise
            if workflow.now() - began >= patience:
                raise StepFailed(self._too_slow(plan, about))
            workflow.set_current_details(f"{plan.host} answers, and has not done it yet: {about}")
            await workflow.sleep(1.0 * self._tuning.scale)

    def _too_slow(self, plan: m.InPlacePlan, about: str) -> Failure:
        error = HostSlowError(
            f"{plan.host} answers, and has not done it in {self._tuning.patience}: {about}",
            remedy=f"see what {plan.host} does, and ask again; {SETTING} is how long it may take",
        )
        return failure_of_refusal(error)

    def _guest(self, plan: m.InPlacePlan, epoch: int) -> m.HostGuest:
        return m.HostGuest(host=plan.host, incarnation=plan.incarnation, instance_id=self._instance_id, epoch=epoch)

    def _guest_call(self, plan: m.InPlacePlan) -> m.GuestCall:
        return m.GuestCall(call=self._call(plan), instance_id=self._instance_id, epoch=plan.epoch)

    def _call(self, plan: m.InPlacePlan) -> m.HostCall:
        return m.HostCall(host=plan.host, hypervisor_uuid=plan.hypervisor_uuid, incarnation=plan.incarnation)


async def in_place(input: m.InPlaceInput, wanted: VmState) -> m.Done:
    """The whole story of a workflow that starts or stops one instance. Its failure has the cause's type."""
    try:
        await InPlace(input.instance_id, input.name, input.tuning).bring_to(wanted)
    except (ActivityError, StepFailed) as error:
        failure = failure_of(error)
        if failure.cancelled:
            raise asyncio.CancelledError from error
        raise as_error(failure) from error
    return m.Done()
