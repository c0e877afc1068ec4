"""A cloud of ten-line fakes: every activity answers from a script, or does what is usual, and is written down."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from temporalio import activity

from evacuation import messages as m
from evacuation.errors import NoValidHostError
from evacuation.model import Evidence, EvidenceKind, Flavor, PowerReading, PowerState, Rejection, RootDisk, VmState

INSTANCE = "7c9a5e0e-0000-4000-8000-000000000001"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Answer = BaseException | Callable[[], Any] | Any


async def hang(*, beating: bool) -> None:
    """Longer than any timeout; ends when the activity is cancelled."""
    for _ in range(100_000):
        if beating:
            activity.heartbeat()
        await asyncio.sleep(0.01)


class Hang:
    """An answer that does not come until the call is cancelled; it heartbeats."""


class Deaf:
    """As usual, or `then`, though not before the call is cancelled."""

    def __init__(self, then: Answer = None) -> None:
        self.then = then


class Silence:
    """No answer and no heartbeat: the worker is gone, or frozen."""


class FakeCloud:
    """`asked` lists activity names in order, with the host for host calls; `script[name]` holds answers to give
    first; `hosts` is what claims choose from, in order."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = list(hosts or ("cmp-2", "cmp-3", "cmp-4"))
        self.asked: list[str] = []
        self.messages: dict[str, list[Any]] = defaultdict(list)
        self.script: dict[str, deque[Answer]] = defaultdict(deque)
        self.adopts: m.OpenEvacuation | None = None
        self.left: m.Begun | None = None
        self.authorized = False
        self.no_host: tuple[Rejection, ...] = ()
        self.can_fence = True
        self.evidence: Evidence | None = None
        self.source_answers = False
        self.answering: set[str] = set()
        """Other hosts whose worker answers its probe."""
        self.boots = "boot-1"
        """Which boot of any host answers its probe."""
        self.probe_silent_for = 0
        self.source_error: BaseException | None = None
        self.reads_off: Answer = False
        self.reading_takes = 0.0
        self.wanted = VmState.ACTIVE

    def answers(self, name: str, *answers: Answer) -> None:
        self.script[name].extend(answers)

    async def _do(self, name: str, message: Any, usual: Any, host: str | None = None) -> Any:
        self.asked.append(f"{name}@{host}" if host else name)
        self.messages[name].append(message)
        answer = self.script[name].popleft() if self.script[name] else usual
        if isinstance(answer, Deaf):
            with suppress(asyncio.CancelledError):
                await hang(beating=True)
            answer = answer.then or usual
        if isinstance(answer, Hang | Silence):
            await hang(beating=isinstance(answer, Hang))
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer

    @property
    def control(self) -> list[Any]:
        own = vars(type(self)).items()
        return [getattr(self, name) for name, fn in own if hasattr(fn, "__temporal_activity_definition")]

    def on_host(self, host: str) -> "FakeHost":
        return FakeHost(self, host)

    @activity.defn
    async def check_request(self, request: m.EvacuationRequest) -> m.CheckedRequest:
        snapshot = m.InstanceSnapshot(
            id=request.instance_id,
            name="web-01",
            project="acme",
            priority=3,
            source="cmp-1",
            vm_state=VmState.ACTIVE,
            task_state=None,
            root_disk=RootDisk.SHARED,
            flavor=Flavor(vcpus=1, memory_mb=512, disk_gb=5),
            wanted=self.wanted,
        )
        checked = m.CheckedRequest(
            instance=snapshot,
            source_incarnation="boot-1",
            source_uuid=None,
            evidence=self.evidence,
            adopts=self.adopts,
            can_fence=self.can_fence,
            also_stopped=("web-02",),
            no_host=self.no_host,
        )
        return await self._do("check_request", request, checked)

    @activity.defn
    async def read_power(self, query: m.PowerQuery) -> PowerReading:
        """Not one of the steps: it is asked beside the probe, and nothing is done by it."""
        await asyncio.sleep(self.reading_takes)
        if isinstance(self.reads_off, BaseException):
            raise self.reads_off
        if self.reads_off:
            await asyncio.sleep(query.grace)
        return PowerReading.OFF if self.reads_off else PowerReading.ON

    @activity.defn
    async def fence_source(self, request: m.FenceRequest) -> Evidence:
        return await self._do("fence_source", request, proven_off(request.host, request.incarnation))

    @activity.defn
    async def fence_destination(self, request: m.FenceRequest) -> Evidence:
        return await self._do("fence_destination", request, proven_off(request.host, request.incarnation))

    @activity.defn
    async def find_evidence(self, host: m.HostRef) -> Evidence | None:
        return await self._do("find_evidence", host, None)

    @activity.defn
    async def record_answer(self, answer: m.ProbeAnswer) -> m.Done:
        return await self._do("record_answer", answer, m.Done())

    @activity.defn
    async def begin_evacuation(self, message: m.Begin) -> m.Begun:
        fresh = m.Begun(
            evacuation_id=message.ref.evacuation_id,
            attempt=0,
            phase=m.AttemptPhase.UNDONE,
            started_at=NOW,
            wanted=self.wanted,
            migration_id="migration-1",
        )
        return await self._do("begin_evacuation", message, self.left or fresh)

    @activity.defn
    async def claim_capacity(self, message: m.ClaimCapacity) -> m.Destination:
        fits = [h for h in self.hosts if h not in message.excluded and message.target in (None, h)]

        def claim() -> m.Destination:
            if not fits:
                why = ", ".join(f"{h}: {r}" for h, r in message.excluded.items()) or "every host is full"
                raise NoValidHostError(f"no host fits: {why}")
            epoch = message.ref.attempt + 1
            return m.Destination(host=fits[0], hypervisor_uuid=None, incarnation="boot-1", epoch=epoch)

        self.authorized = False
        return await self._do("claim_capacity", message, claim)

    @activity.defn
    async def record_preparation(self, message: m.RecordPreparation) -> m.Done:
        return await self._do("record_preparation", message, m.Done())

    @activity.defn
    async def set_up_network(self, message: m.SetUpNetwork) -> m.NetworkInfo:
        return await self._do("set_up_network", message, m.NetworkInfo(nics=()))

    @activity.defn
    async def fetch_block_devices(self, ref: m.AttemptRef) -> m.BlockDevices:
        device = m.BlockDevice(volume_id="volume-1", device="vdb", attachment_id="attachment-1")
        return await self._do("fetch_block_devices", ref, m.BlockDevices(devices=(device,)))

    @activity.defn
    async def detach_volumes(self, message: m.DetachVolumes) -> m.BlockDevices:
        return await self._do("detach_volumes", message, m.BlockDevices(devices=message.devices))

    @activity.defn
    async def set_up_block_devices(self, message: m.SetUpBlockDevices) -> m.BlockDevices:
        return await self._do("set_up_block_devices", message, m.BlockDevices(devices=()))

    @activity.defn
    async def authorize_spawn(self, message: m.AuthorizeSpawn) -> m.Authorized:
        def authorize() -> m.Authorized:
            self.authorized = True
            return m.Authorized(epoch=message.ref.attempt + 1, evidence=())

        return await self._do("authorize_spawn", message, authorize)

    @activity.defn
    async def call_off_attempt(self, ref: m.AttemptRef) -> m.CalledOff:
        return await self._do("call_off_attempt", ref, lambda: m.CalledOff(authorized=self.authorized))

    @activity.defn
    async def record_guest_gone(self, message: m.RecordGuestGone) -> m.Done:
        return await self._do("record_guest_gone", message, m.Done())

    @activity.defn
    async def tear_down_network(self, message: m.Undo) -> m.Done:
        return await self._do("tear_down_network", message, m.Done())

    @activity.defn
    async def tear_down_block_devices(self, message: m.Undo) -> m.Done:
        return await self._do("tear_down_block_devices", message, m.Done())

    @activity.defn
    async def release_capacity(self, message: m.Undo) -> m.Done:
        return await self._do("release_capacity", message, m.Done())

    @activity.defn
    async def finish_evacuation(self, message: m.FinishEvacuation) -> m.Done:
        return await self._do("finish_evacuation", message, m.Done())

    @activity.defn
    async def abandon_evacuation(self, message: m.AbandonEvacuation) -> m.Done:
        return await self._do("abandon_evacuation", message, m.Done())

    @activity.defn
    async def plan_in_place(self, instance: m.InstanceRef) -> m.InPlacePlan:
        plan = m.InPlacePlan(
            host="cmp-2",
            hypervisor_uuid=None,
            incarnation="boot-1",
            epoch=3,
            residence_epoch=3,
            vm_state=VmState.ACTIVE,
        )
        return await self._do("plan_in_place", instance, plan)

    @activity.defn
    async def authorize_in_place(self, message: m.AuthorizeInPlace) -> m.GuestSpec:
        spec = m.GuestSpec(
            instance_id=INSTANCE,
            name="web-01",
            epoch=message.guest.epoch + 1,
            flavor=Flavor(vcpus=1, memory_mb=512, disk_gb=5),
            root_disk=RootDisk.SHARED,
            power_state=PowerState.SHUTDOWN,
        )
        return await self._do("authorize_in_place", message, spec)

    @activity.defn
    async def record_in_place(self, message: m.RecordInPlace) -> m.Done:
        return await self._do("record_in_place", message, m.Done())


class FakeHost:
    """One destination's worker; it shares the cloud's script and record."""

    def __init__(self, cloud: FakeCloud, host: str) -> None:
        self._cloud = cloud
        self._host = host
        self.all = [
            self.prepare_destination,
            self.connect_volumes,
            self.disconnect_volumes,
            self.spawn_guest,
            self.settle_guest,
            self.destroy_guest,
        ]

    async def _do(self, name: str, message: Any, usual: Any) -> Any:
        return await self._cloud._do(name, message, usual, self._host)

    @activity.defn
    async def prepare_destination(self, message: m.PrepareDestination) -> m.Prepared:
        usual = m.Prepared(connector=m.Connector(host=self._host, incarnation="boot-1"))
        return await self._do("prepare_destination", message, usual)

    @activity.defn
    async def connect_volumes(self, message: m.ConnectVolumes) -> m.Done:
        return await self._do("connect_volumes", message, m.Done())

    @activity.defn
    async def disconnect_volumes(self, message: m.GuestCall) -> m.Done:
        return await self._do("disconnect_volumes", message, m.Done())

    @activity.defn
    async def spawn_guest(self, message: m.SpawnGuest) -> m.GuestState:
        guest = message.guest
        usual = m.GuestState(instance_id=guest.instance_id, epoch=guest.epoch, power_state=guest.power_state)
        return await self._do("spawn_guest", message, usual)

    @activity.defn
    async def settle_guest(self, message: m.GuestCall) -> m.Settled:
        return await self._do("settle_guest", message, m.Settled(forward=False, incarnation="boot-1"))

    @activity.defn
    async def destroy_guest(self, message: m.GuestCall) -> m.Settled:
        return await self._do("destroy_guest", message, m.Settled(forward=False, incarnation="boot-1"))


class FakeProbe:
    """The probe of a host: nobody serves its queue unless `source_answers`, or it is in `answering`."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    @activity.defn
    async def probe_host(self, message: m.ProbeRequest) -> m.ProbeAnswer:
        self._cloud.probe_silent_for -= 1
        if self._cloud.probe_silent_for >= 0:
            await hang(beating=False)
        if self._cloud.source_error is not None:
            raise self._cloud.source_error
        return m.ProbeAnswer(host=message.host, incarnation=self._cloud.boots, in_service=True)

    @activity.defn
    async def list_guests(self, message: m.ProbeRequest) -> m.HostReport:
        return m.HostReport(
            host=message.host, hypervisor_uuid="uuid", machine_id="machine", incarnation="boot-1", guests=()
        )


def proven_off(host: str, incarnation: str | None) -> Evidence:
    return Evidence(kind=EvidenceKind.POWER_OFF, host=host, incarnation=incarnation, who="test", reason="off", at=NOW)
