"""The whole workflow over the store and hosts in memory, on a time-skipping server that all examples share.

What befalls a run is said before it: at its n-th activity call, something happens. So the same example goes the same
way each time, however fast the machine is."""

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.exceptions import ApplicationError, TimeoutType
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

from activities.block_devices import BlockDeviceActivities
from activities.capacity import CapacityActivities
from activities.failures import FailureInterceptor
from activities.fencing import FencingActivities
from activities.guest import GuestActivities
from activities.hosts import HostActivities
from activities.instance_state import InstanceStateActivities
from activities.network import NetworkActivities
from activities.power import PowerReader
from activities.probe import ProbeActivities
from activities.volumes import GuestVolumeActivities
from evacuation import messages as m
from evacuation.errors import EvacuateError
from evacuation.names import CONTROL_QUEUE, evacuate_instance_id, host_queue, probe_queue
from tests.machines.cloud import Cloud, Died, Fragile
from tests.machines.fleet import HOSTS
from tests.machines.timeouts import CONVERTER, timed_out
from tests.support.temporal import time_skipping
from tests.workflows.conftest import OPTIONS
from workflows.all import ALL
from workflows.evacuate_instance import EvacuateInstance

T = TypeVar("T")
Event = Callable[["Call"], None]
PATIENCE = 60.0
WORDS = (
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
)
ASKED_BESIDE = ("probe_host", "read_power")
"""Side by side, so in no order: nothing befalls them."""
CALLS_UNTIL_THE_WORLD_IS_WELL = 150


class Call:
    """One execution of an activity: what events look at, and change."""

    def __init__(self, stage: "Stage", input: ExecuteActivityInput, host: str | None) -> None:
        self.stage = stage
        self.name = activity.info().activity_type
        self.workflow_id = activity.info().workflow_id or ""
        run_id = activity.info().workflow_run_id
        self.run: WorkflowHandle[Any, Any] = stage.client.get_workflow_handle(self.workflow_id, run_id=run_id)
        self.host = host
        self.input = input
        self.is_executed = True
        self.is_answered = True
        self.fuse: int | None = None

    def later(self) -> None:
        """Executed when nobody waits for it any more."""
        self.is_executed = False
        self.stage.frozen.append(self.execute_alone)

    def execute_alone(self) -> None:
        """By a worker whose host may be off by now, and whose answer nobody wants."""
        if self.host is None or self.host in self.stage.cloud.metal.serving:
            try:
                ActivityEnvironment().run(self.input.fn, *self.input.args)
            except Exception as error:
                if not isinstance(error, ApplicationError | Died | EvacuateError):
                    raise


class Stage:
    """`cloud` is the world of the example that runs now; `script` what happens at which call of the run."""

    def __init__(self) -> None:
        self.cloud: Cloud
        self.script: Mapping[int, Event] = {}
        self.asked: list[str] = []
        self.turn = asyncio.Lock()
        """One call at a time, so that an example goes the same way each time; what comes late is `frozen`."""
        self.frozen: list[Callable[[], None]] = []
        self.after: Callable[[], None] = lambda: None
        self.client: Client
        self.broken: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open = AsyncExitStack()

    def __enter__(self) -> "Stage":
        # Activities fail here all the time, and that is no news.
        logging.getLogger("temporalio.activity").setLevel(logging.CRITICAL)
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._open.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _start(self) -> None:
        env = await self._open.enter_async_context(time_skipping(CONVERTER))
        self.client = env.client
        threads = self._open.enter_context(ThreadPoolExecutor(40))
        for queue, host, activities in self._queues():
            worker = Worker(
                self.client,
                task_queue=queue,
                activities=activities,
                workflows=ALL if queue == CONTROL_QUEUE else [],
                activity_executor=threads,
                **OPTIONS | {"interceptors": [FailureInterceptor(), Fate(self, host)]},
            )
            await self._open.enter_async_context(worker)

    def _queues(self) -> list[tuple[str, str | None, list[Any]]]:
        def service(name: str) -> Any:
            return Current(lambda: Fragile(getattr(self.cloud.services, name), self.cloud.fuse))

        power: Any = Current(lambda: Fragile(self.cloud.metal, self.cloud.fuse))
        reader = PowerReader(service("evidence"), power)
        groups: tuple[Any, ...] = (
            InstanceStateActivities(service("store"), power, power=reader),
            FencingActivities(service("evidence"), power),
            CapacityActivities(service("capacity")),
            NetworkActivities(service("network")),
            BlockDeviceActivities(service("store"), service("volumes")),
            HostActivities(service("hosts"), reader),
        )
        control = [each for group in groups for each in group.all]
        queues: list[tuple[str, str | None, list[Any]]] = [(CONTROL_QUEUE, None, control)]
        for host in HOSTS:
            boot: Any = Current(lambda host=host: Fragile(self.cloud.metal.on[host], self.cloud.fuse))
            guest, volumes = GuestActivities(boot, lambda: None), GuestVolumeActivities(boot)
            queues.append((host_queue(host), host, [*guest.all, *volumes.all]))
            queues.append((probe_queue(host), host, ProbeActivities(boot, host, lambda: True).all))
        return queues

    def evacuate(self, instance_id: str, script: Mapping[int, Event], **request: Any) -> str:
        """Status of the closed workflow. The invariants that hold at any time are asked at every call."""
        self.script, self.asked, self.broken = script, [], []
        input = m.EvacuateInstanceInput(
            request=m.EvacuationRequest(request_id=str(uuid.uuid4()), instance_id=instance_id, **request)
        )
        status = self.run(self._evacuate(instance_id, input))
        self.run(self._end_of_the_last_call())
        assert not self.broken, self.broken[0]
        return status

    async def _evacuate(self, instance_id: str, input: m.EvacuateInstanceInput) -> str:
        workflow_id = evacuate_instance_id(instance_id)
        handle: WorkflowHandle[Any, Any] = await self.client.start_workflow(
            EvacuateInstance.run, input, id=workflow_id, task_queue=CONTROL_QUEUE
        )
        try:
            await handle.result()
        except Exception:
            status = (await handle.describe()).status
            return status.name if status else "?"
        return "COMPLETED"

    async def _end_of_the_last_call(self) -> None:
        """A run that was terminated in the middle of a call does not wait for it."""
        async with self.turn:
            pass

    async def tell(self, run: WorkflowHandle[Any, Any], word: Coroutine[Any, Any, None]) -> None:
        """Returns when the run has seen the word. For the time-skipping server rejects, again and again, a workflow
        task that cancels an activity which has ended meanwhile (temporalio/sdk-java#2391); a real server does not."""
        await word
        while not _has_looked(await run.fetch_history()):
            await asyncio.sleep(0.01)

    def soon(self, work: Coroutine[Any, Any, Any]) -> None:
        """From a thread of an activity: asked for before the activity goes on."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


def _has_looked(history: WorkflowHistory) -> bool:
    """Whether a workflow task that began after the last word has been completed."""
    kinds = [event.event_type for event in history.events]
    last = max(number for number, kind in enumerate(kinds) if kind in WORDS)
    begun = [number for number, kind in enumerate(kinds) if kind == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED]
    return any(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in kinds[number:] for number in begun if number > last)


class Current:
    """Whatever is there in the example that runs now."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)


class Fate(Interceptor):
    def __init__(self, stage: Stage, host: str | None) -> None:
        self.stage = stage
        self.host = host

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Struck(next, self)


class _Struck(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, fate: Fate) -> None:
        super().__init__(next)
        self._stage = fate.stage
        self._host = fate.host

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        async with self._stage.turn:
            return await self._in_turn(input)

    async def _in_turn(self, input: ExecuteActivityInput) -> Any:
        stage, call = self._stage, Call(self._stage, input, self._host)
        if call.name not in ASKED_BESIDE:
            await self._befall(call)
        if self._host is not None and self._host not in stage.cloud.metal.serving:
            raise timed_out(TimeoutType.SCHEDULE_TO_START)
        answer = await self._execute(call) if call.is_executed else None
        await asyncio.to_thread(self._look)
        if not (call.is_executed and call.is_answered):
            self._lose(call)
        return answer

    async def _befall(self, call: Call) -> None:
        number = len(self._stage.asked)
        self._stage.asked.append(call.name)
        if number == CALLS_UNTIL_THE_WORLD_IS_WELL:
            await asyncio.to_thread(self._stage.after)
        event = self._stage.script.get(number)
        if event is not None:
            await asyncio.to_thread(event, call)

    async def _execute(self, call: Call) -> Any:
        if call.fuse is None:
            return await super().execute_activity(call.input)
        self._stage.cloud.fuse.left = call.fuse
        try:
            return await super().execute_activity(call.input)
        except Died:
            self._lose(call)
        finally:
            self._stage.cloud.fuse.left = None

    def _lose(self, call: Call) -> None:
        """As the workflow learns of it: by a timeout on a host, by a retry of a control call."""
        if call.host is not None:
            raise timed_out(TimeoutType.START_TO_CLOSE)
        raise ApplicationError("the worker is gone", type="Lost")

    def _look(self) -> None:
        """At any time: one copy at most, and none without a residence."""
        seen: dict[str, list[str]] = {}
        for guest in self._stage.cloud.metal.guests():
            if guest.writes:
                seen.setdefault(guest.instance_id, []).append(guest.host)
        self._stage.broken += [
            f"{i} runs on {hosts}, after {self._stage.asked}" for i, hosts in seen.items() if len(hosts) > 1
        ]
