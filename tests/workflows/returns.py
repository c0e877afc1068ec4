"""A host that comes back, as ten-line fakes: what the store plans, from a script, and what is done on the host."""

from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.model import Flavor, PowerState, RootDisk
from evacuation.names import CONTROL_QUEUE, probe_queue, return_host_id, return_queue
from tests.workflows.conftest import OPTIONS
from workflows.all import ALL
from workflows.return_host import ReturnHost

HOST = "cmp-1"
KEY = m.GuestKey(instance_id="7c9a5e0e-0000-4000-8000-000000000001", name="web-01", epoch=1)
NOTHING = m.ReturnPlan(held_by=(), destroy=(), quarantine=(), start=())
Answer = BaseException | Callable[[], Any] | Any


def report(*guests: m.GuestState, incarnation: str = "boot-2") -> m.HostReport:
    return m.HostReport(
        host=HOST, hypervisor_uuid="hypervisor-1", machine_id="machine-1", incarnation=incarnation, guests=guests
    )


class FakeReturn:
    """`plans` are the store's answers, one a look, the last one for ever; `now` is what the host says of itself."""

    def __init__(self, *plans: m.ReturnPlan) -> None:
        self._plans = deque(plans)
        self._script: dict[str, deque[Answer]] = {}
        self.now = report()
        self.asked: list[str] = []
        self.buried: list[m.GuestKey] = []
        self.completed: list[m.ReturnedHost] = []
        self.registered: list[m.HostReport] = []

    def answers(self, name: str, *answers: Answer) -> None:
        self._script.setdefault(name, deque()).extend(answers)

    def _do(self, name: str, usual: Any) -> Any:
        self.asked.append(name)
        script = self._script.get(name)
        answer = script.popleft() if script else usual
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def control(self) -> list[Any]:
        names = ("register_host", "record_destroyed", "authorize_start", "record_started", "complete_return")
        return [getattr(self, name) for name in names]

    @activity.defn
    async def register_host(self, message: m.HostReport) -> m.ReturnPlan:
        self.registered.append(message)
        plan = self._plans.popleft() if len(self._plans) > 1 else self._plans[0]
        return self._do("register_host", plan)

    @activity.defn
    async def record_destroyed(self, message: m.HostGuest) -> m.Done:
        return self._do("record_destroyed", m.Done())

    @activity.defn
    async def authorize_start(self, message: m.HostGuest) -> m.GuestSpec:
        return self._do("authorize_start", _spec(message))

    @activity.defn
    async def record_started(self, message: m.RecordStarted) -> m.Done:
        return self._do("record_started", m.Done())

    @activity.defn
    async def complete_return(self, message: m.ReturnedHost) -> m.Done:
        self.completed.append(message)
        return self._do("complete_return", m.Done())

    @activity.defn
    async def bury_guests(self, message: m.BuryGuests) -> m.HostDone:
        self.buried.extend(message.guests)
        return self._do("bury_guests", m.HostDone())

    @activity.defn
    async def pause_guest(self, message: m.GuestCall) -> m.Done:
        return self._do("pause_guest", m.Done())

    @activity.defn
    async def destroy_guest(self, message: m.GuestCall) -> m.Settled:
        return self._do("destroy_guest", m.Settled(forward=False, incarnation=self.now.incarnation))

    @activity.defn
    async def start_guest(self, message: m.SpawnGuest) -> m.GuestState:
        guest = message.guest
        usual = m.GuestState(instance_id=guest.instance_id, epoch=guest.epoch, power_state=guest.power_state)
        return self._do("start_guest", usual)

    @activity.defn
    async def list_guests(self, message: m.ProbeRequest) -> m.HostReport:
        return self._do("list_guests", self.now)


async def serve_return(stack: AsyncExitStack, env: WorkflowEnvironment, fake: FakeReturn) -> WorkflowHandle[Any, Any]:
    """Workers for it until the stack closes, and the return that its host's worker has started."""
    workers = [
        Worker(env.client, task_queue=CONTROL_QUEUE, workflows=ALL, activities=fake.control, **OPTIONS),
        Worker(
            env.client,
            task_queue=return_queue(HOST),
            activities=[fake.bury_guests, fake.pause_guest, fake.destroy_guest, fake.start_guest],
            **OPTIONS,
        ),
        Worker(env.client, task_queue=probe_queue(HOST), activities=[fake.list_guests], **OPTIONS),
    ]
    for worker in workers:
        await stack.enter_async_context(worker)
    return await env.client.start_workflow(
        ReturnHost.run, m.ReturnHostInput(report=report()), id=return_host_id(HOST), task_queue=CONTROL_QUEUE
    )


def _spec(message: m.HostGuest) -> m.GuestSpec:
    return m.GuestSpec(
        instance_id=message.instance_id,
        name="web-01",
        epoch=message.epoch + 1,
        flavor=Flavor(vcpus=1, memory_mb=64, disk_gb=1),
        root_disk=RootDisk.SHARED,
        power_state=PowerState.RUNNING,
        nics=(),
        disks=(),
    )
