"""A host that comes back serves nothing until it is reconciled."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.model import PowerState
from evacuation.names import CONTROL_QUEUE, return_queue
from workflows.failures import failure_of
from workflows.policies import COMPENSATION, HOST, SPAWN

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities
    from activities.hosts import HostActivities

WINDOW = 8
LONGEST_WAIT = 60.0


@workflow.defn
class ReturnHost:
    """Started by the host's own worker, with who it is and what runs there; it serves its queue only afterwards.

    Guests that were evacuated from here are destroyed by their old epoch, those whose evacuation is in flight are
    paused and waited for, those that belong here are started. A restarted worker on the same boot changes nothing."""

    @workflow.init
    def __init__(self, input: m.ReturnHostInput) -> None:
        self._report = input.report
        self._tuning = input.tuning
        self._failed: list[str] = []

    @workflow.run
    async def run(self, input: m.ReturnHostInput) -> m.ReturnPlan:
        plan, pause = await self._reconcile(), 0.5
        while plan.held_by:
            workflow.set_current_details(f"Held: waiting for the evacuation of {', '.join(plan.held_by)}")
            await workflow.sleep(pause * self._tuning.scale)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(m.ReturnHostInput(report=self._report, tuning=self._tuning))
            plan, pause = await self._reconcile(), min(pause * 2, LONGEST_WAIT)
        await self._start(plan.start)
        await workflow.execute_activity_method(
            HostActivities.complete_return,
            m.HostRef(host=self._report.host, incarnation=self._report.incarnation),
            task_queue=CONTROL_QUEUE,
            summary=f"{self._report.host} is up",
            **COMPENSATION.config(self._tuning),
        )
        workflow.set_current_details("\n".join(["In service", *self._failed]))
        return plan

    async def _reconcile(self) -> m.ReturnPlan:
        plan = await workflow.execute_activity_method(
            HostActivities.register_host,
            self._report,
            task_queue=CONTROL_QUEUE,
            summary=f"register {self._report.host}",
            **COMPENSATION.config(self._tuning),
        )
        for guest in plan.quarantine:
            await self._on_host(GuestActivities.pause_guest, guest, f"quarantine {guest.name}")
        for guest in plan.destroy:
            if await self._on_host(GuestActivities.destroy_guest, guest, f"destroy {guest.name}: it was evacuated"):
                await workflow.execute_activity_method(
                    HostActivities.record_destroyed,
                    self._host_guest(guest),
                    task_queue=CONTROL_QUEUE,
                    summary=f"record that {guest.name} is gone from here",
                    **COMPENSATION.config(self._tuning),
                )
        return plan

    async def _on_host(self, activity, guest: m.GuestKey, about: str) -> bool:  # pyright: ignore
        """A call that fails is retried when the host returns again; it is named in the details."""
        call = m.GuestCall(call=self._call, instance_id=guest.instance_id, epoch=guest.epoch)
        try:
            await workflow.execute_activity_method(
                activity,
                call,
                task_queue=return_queue(self._report.host),
                summary=about,
                **HOST.config(self._tuning),
            )
            return True
        except ActivityError as error:
            self._fail(about, error)
            return False

    async def _start(self, guests: tuple[m.GuestKey, ...]) -> None:
        """A window at a time; one that cannot start does not keep the host from serving."""
        gate = asyncio.Semaphore(WINDOW)

        async def one(guest: m.GuestKey) -> None:
            async with gate:
                try:
                    await self._start_one(guest)
                except ActivityError as error:
                    self._fail(f"start {guest.name}", error)

        await asyncio.gather(*(one(guest) for guest in guests))

    async def _start_one(self, guest: m.GuestKey) -> None:
        spec = await workflow.execute_activity_method(
            HostActivities.authorize_start,
            self._host_guest(guest),
            task_queue=CONTROL_QUEUE,
            summary=f"authorise {guest.name} here",
            **COMPENSATION.config(self._tuning),
        )
        state = await workflow.execute_activity_method(
            GuestActivities.spawn_guest,
            m.SpawnGuest(call=self._call, guest=spec),
            task_queue=return_queue(self._report.host),
            summary=f"start {guest.name}",
            **SPAWN.config(self._tuning),
        )
        await self._record_started(guest, spec.epoch, state.power_state)

    async def _record_started(self, guest: m.GuestKey, epoch: int, power_state: PowerState) -> None:
        started = self._host_guest(guest).model_copy(update={"epoch": epoch})
        await workflow.execute_activity_method(
            HostActivities.record_started,
            m.RecordStarted(guest=started, power_state=power_state),
            task_queue=CONTROL_QUEUE,
            summary=f"{guest.name} is {power_state}",
            **COMPENSATION.config(self._tuning),
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
        )
