"""A host, and the store, of a start or stop in place; and a served workflow of it."""

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.model import Flavor, PowerState, RootDisk, VmState
from evacuation.names import CONTROL_QUEUE, evacuate_instance_id, host_queue, probe_queue
from tests.workflows.conftest import OPTIONS
from tests.workflows.fakes import INSTANCE
from workflows.all import ALL


class InPlace:
    """The instance was given epoch 3 on cmp-1; `guests` are what its host reports of it, and `script` answers first."""

    def __init__(self, *guests: m.GuestState, boot: str = "boot-1") -> None:
        self.guests = guests
        self.boot = boot
        self.asked: list[str] = []
        self.script: dict[str, deque[Any]] = {}
        self.recorded: list[m.RecordInPlace] = []
        self.spawned: list[m.GuestSpec] = []
        self.destroyed: list[int] = []
        self.held: str | None = None
        """A call that does not return before it is let go."""
        self.is_held, self.let_go = asyncio.Event(), asyncio.Event()

    async def _hold(self, name: str) -> None:
        if name == self.held:
            self.is_held.set()
            await asyncio.shield(self.let_go.wait())

    def answers(self, name: str, *answers: Any) -> None:
        self.script.setdefault(name, deque()).extend(answers)

    def _do(self, name: str, usual: Any) -> Any:
        self.asked.append(name)
        answer = self.script[name].popleft() if self.script.get(name) else usual
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @activity.defn
    async def plan_in_place(self, instance: m.InstanceRef) -> m.InPlacePlan:
        plan = m.InPlacePlan(
            host="cmp-1",
            hypervisor_uuid=None,
            incarnation="boot-1",
            epoch=3,
            residence_epoch=3,
            vm_state=VmState.ACTIVE,
        )
        return self._do("plan_in_place", plan)

    @activity.defn
    async def authorize_in_place(self, message: m.AuthorizeInPlace) -> m.GuestSpec:
        await self._hold("authorize_in_place")
        running = message.vm_state == VmState.ACTIVE
        spec = m.GuestSpec(
            instance_id=INSTANCE,
            name="web-01",
            epoch=message.guest.epoch + 1,
            flavor=Flavor(vcpus=1, memory_mb=64, disk_gb=1),
            root_disk=RootDisk.SHARED,
            power_state=PowerState.RUNNING if running else PowerState.SHUTDOWN,
        )
        return self._do("authorize_in_place", spec)

    @activity.defn
    async def record_in_place(self, message: m.RecordInPlace) -> m.Done:
        await self._hold("record_in_place")
        self.recorded.append(message)
        return self._do("record_in_place", m.Done())

    @activity.defn
    async def destroy_guest(self, message: m.GuestCall) -> m.Settled:
        self.destroyed.append(message.epoch)
        return self._do("destroy_guest", m.Settled(forward=False, incarnation=self.boot))

    @activity.defn
    async def spawn_guest(self, message: m.SpawnGuest) -> m.GuestState:
        self.spawned.append(message.guest)
        state = m.GuestState(instance_id=INSTANCE, epoch=message.guest.epoch, power_state=message.guest.power_state)
        return self._do("spawn_guest", state)

    @activity.defn
    async def list_guests(self, request: m.ProbeRequest) -> m.HostReport:
        report = m.HostReport(
            host="cmp-1", hypervisor_uuid="u", machine_id="m", incarnation=self.boot, guests=self.guests
        )
        return self._do("list_guests", report)

    @activity.defn
    async def probe_host(self, request: m.ProbeRequest) -> m.ProbeAnswer:
        return m.ProbeAnswer(host="cmp-1", incarnation=self.boot, in_service=True)


async def serve_in_place(
    stack: AsyncExitStack, env: WorkflowEnvironment, name: str, fake: InPlace, *, serves: bool = True
) -> WorkflowHandle[Any, Any]:
    """`name`: the workflow. `serves`: whether the host's own worker is there."""
    queues: dict[str, list[Any]] = {CONTROL_QUEUE: [fake.plan_in_place, fake.authorize_in_place, fake.record_in_place]}
    if serves:
        queues[host_queue("cmp-1")] = [fake.destroy_guest, fake.spawn_guest]
        queues[probe_queue("cmp-1")] = [fake.list_guests, fake.probe_host]
    for queue, activities in queues.items():
        workflows = ALL if queue == CONTROL_QUEUE else []
        worker = Worker(env.client, task_queue=queue, workflows=workflows, activities=activities, **OPTIONS)
        await stack.enter_async_context(worker)
    input = m.InPlaceInput(instance_id=INSTANCE, name="web-01", tuning=m.Tuning(scale=0.2))
    return await env.client.start_workflow(name, input, id=evacuate_instance_id(INSTANCE), task_queue=CONTROL_QUEUE)


def guest(power: PowerState = PowerState.RUNNING, *, epoch: int = 3, paused: bool = False) -> m.GuestState:
    return m.GuestState(instance_id=INSTANCE, epoch=epoch, power_state=power, paused=paused)
