"""One workflow run, told one call at a time: the order of the story, and nothing of Temporal."""

from typing import Any

from evacuation import messages as m
from evacuation.errors import EvacuateError, InstanceDeletedError, NoValidHostError, OwnerChangedError, StaleAttemptError
from evacuation.model import Evidence, EvidenceKind, MigrationStatus, PowerState, VmState
from evacuation.transitions import ENDINGS, EndingCause
from tests.machines.cloud import Cloud, Died, Silent
from tests.machines.fleet import NOW

ATTEMPT = (
    "claim_capacity",
    "prepare_destination",
    "record_preparation",
    "set_up_network",
    "fetch_block_devices",
    "detach_volumes",
    "set_up_block_devices",
    "connect_volumes",
    "authorize_spawn",
    "spawn_guest",
    "finish_evacuation",
)
UNDONE_BY = {
    "claim_capacity": "release_capacity",
    "set_up_network": "tear_down_network",
    "detach_volumes": "tear_down_block_devices",
    "connect_volumes": "disconnect_volumes",
}
EVERYTHING = ("release_capacity", "tear_down_network", "tear_down_block_devices", "disconnect_volumes")
ON_A_HOST = frozenset({"prepare_destination", "connect_volumes", "spawn_guest"})
FINAL = frozenset({"SourceReturnedError", "ResidenceNotProvenError", "FenceFailedError", "SourceNotFencedError"})
MOST_ATTEMPTS = 3


class Run:
    """`todo` is what comes next. A run never leaves anything undone of its own accord: it ends, or is terminated."""

    def __init__(self, cloud: Cloud, instance_id: str, number: int) -> None:
        self.cloud = cloud
        self.number = number
        self.ref = m.AttemptRef(evacuation_id=f"ev-{number}", owner=f"run-{number}", instance_id=instance_id)
        self.deleted = self.cancelled = self.over = self.blocked = False
        self.stuck: str | None = None
        self.started = self.asked_to_authorize = self.prepared = self.asked_to_begin = False
        self.undo: list[str] = []
        self.excluded: dict[str, str] = {}
        self.to: m.Destination | None = None
        self.first = 0
        self.evidence: Evidence | None = None
        self.failure: EvacuateError | None = None
        self._check()

    def _check(self) -> None:
        request = m.EvacuationRequest(request_id=f"request-{self.number}", instance_id=self.ref.instance_id)
        self.facts: m.CheckedRequest = self.cloud.tell("check_request", request)
        self.deleted = self.deleted or self.facts.deleted
        first = ["begin_evacuation"] if self.facts.adopts else ["fence_source", "begin_evacuation"]
        self.todo = [*first, *ATTEMPT]

    @property
    def wanted_power(self) -> PowerState:
        return PowerState.SHUTDOWN if self.wanted == VmState.STOPPED else PowerState.RUNNING

    @property
    def wanted(self) -> VmState:
        return self.begun.wanted

    def step(self, *, fuse: int | None = None) -> None:
        """One call. A control call whose process died is made again, by the next step."""
        name = self.todo[0]
        if self._is_called_off(name):
            return self._go_back(None)
        if name in UNDONE_BY and UNDONE_BY[name] not in self.undo:
            self.undo.append(UNDONE_BY[name])
        try:
            getattr(self, name)(fuse)
        except Died:
            if name in ON_A_HOST:
                self._go_back(None)
        except Silent:
            if name in ON_A_HOST:
                self._exclude("silent")
                self._go_back(None)
            elif name == "disconnect_volumes":
                self._done()
        except EvacuateError as error:
            self._fail(name, error)
        return None

    def _is_called_off(self, name: str) -> bool:
        return (self.cancelled or self.deleted) and name in ATTEMPT and name != "finish_evacuation"

    def _done(self) -> None:
        del self.todo[0]

    def _fail(self, name: str, error: EvacuateError) -> None:
        if isinstance(error, StaleAttemptError):
            # It acts no more: right for one whose evacuation another run has taken over.
            self.over, self.stuck = True, f"{name}: {error.message}"
        elif name == "begin_evacuation":
            self._could_not_begin(error)
        elif name == "fence_source" and not error.retryable:
            self._end(EndingCause.FENCE_FAILED, error)
        elif name in ATTEMPT and not error.retryable:
            self.deleted = self.deleted or isinstance(error, InstanceDeletedError)
            self._exclude(error.message)
            self._go_back(error)

    def _could_not_begin(self, error: EvacuateError) -> None:
        if not isinstance(error, OwnerChangedError):
            return self._end(EndingCause.LOST_COMPARE_AND_SWAP, error)
        try:
            return self._check()
        except EvacuateError as refusal:
            return self._end(EndingCause.REFUSED, refusal)

    def _exclude(self, why: str) -> None:
        if self.to is not None:
            self.excluded[self.to.host] = why

    def _go_back(self, error: EvacuateError | None) -> None:
        self.failure = error
        # The compensations of an attempt that was refused in preparation clear what an older one left.
        more = () if self.prepared or not self.undo else ("tear_down_network", "tear_down_block_devices")
        self.undo += [name for name in more if name not in self.undo]
        settling = ["call_off_attempt"] if self.asked_to_authorize and self.to is not None else []
        self.todo = [*settling, *reversed(self.undo), "decide"]

    def decide(self, _: int | None) -> None:
        self.undo = []
        if self.deleted:
            return self._end(EndingCause.DELETED, self.failure)
        if self.cancelled:
            return self._end(EndingCause.CANCELLED, self.failure)
        if type(self.failure).__name__ in FINAL:
            return self._end(EndingCause.SOURCE_RETURNED, self.failure)
        if isinstance(self.failure, NoValidHostError) or self.ref.attempt >= self.first + MOST_ATTEMPTS:
            return self._end(EndingCause.LATER_STEP_FAILED if self.prepared else EndingCause.NO_HOST, self.failure)
        self.todo = ["fence_source", *ATTEMPT] if self.evidence is None else list(ATTEMPT)
        return None

    def _end(self, cause: EndingCause, error: EvacuateError | None) -> None:
        self.cause, self.failure = cause, error
        self.todo = ["abandon_evacuation"]
        self.over = not self.asked_to_begin

    def _control(self, name: str, message: Any, fuse: int | None) -> Any:
        answer = self.cloud.tell(name, message, fuse=fuse)
        self._done()
        return answer

    def _host(self, name: str, message: Any, fuse: int | None) -> Any:
        assert self.to is not None
        answer = self.cloud.tell(name, message, host=self.to.host, fuse=fuse)
        self._done()
        return answer

    def fence_source(self, fuse: int | None) -> None:
        host, boot = self.facts.instance.source, self.facts.source_incarnation
        request = m.FenceRequest(host=host, incarnation=boot, instance_id=self.ref.instance_id)
        self.evidence = self._control("fence_source", request, fuse)

    def begin_evacuation(self, fuse: int | None) -> None:
        self.asked_to_begin = True
        message = m.Begin(
            ref=self.ref,
            instance=self.facts.instance,
            source_incarnation=self.facts.source_incarnation,
            adopts=self.facts.adopts,
            request_id=f"request-{self.number}",
        )
        self.begun: m.Begun = self._control("begin_evacuation", message, fuse)
        self.ref = self.ref.model_copy(update={"evacuation_id": self.begun.evacuation_id})
        self.first = self.begun.attempt
        self.ref = self.ref.model_copy(update={"attempt": self.begun.attempt})
        if self.facts.adopts is not None:
            self._take_over()

    def _take_over(self) -> None:
        """What was left is settled and undone before anything else."""
        self.to = self.begun.destination
        if self.begun.phase is m.AttemptPhase.UNDONE:
            self.todo = ["decide"]
            return
        self.asked_to_authorize = self.begun.phase is m.AttemptPhase.AUTHORIZED
        self.undo = list(EVERYTHING)
        self.prepared = True
        self._go_back(None)
        self.prepared = False

    def claim_capacity(self, fuse: int | None) -> None:
        if self.todo[0] == "claim_capacity" and not self._is_claiming():
            self.ref = self.ref.model_copy(update={"attempt": self.ref.attempt + 1})
            self.claiming = self.ref.attempt
            self.to, self.asked_to_authorize, self.prepared, self.fenced = None, False, False, False
        message = m.ClaimCapacity(ref=self.ref, target=None, excluded=self.excluded)
        self.to = self._control("claim_capacity", message, fuse)

    def _is_claiming(self) -> bool:
        """The claim of this attempt was made, and its answer was lost."""
        return getattr(self, "claiming", None) == self.ref.attempt and self.to is None

    def prepare_destination(self, fuse: int | None) -> None:
        assert self.to is not None
        message = m.PrepareDestination(
            call=self._call, instance_id=self.ref.instance_id, name="it", epoch=self.to.epoch,
            root_disk=self.facts.instance.root_disk,
        )
        prepared: m.Prepared = self._host("prepare_destination", message, fuse)
        self.connector = prepared.connector
        self.to = self.to.model_copy(update={"incarnation": self.connector.incarnation})

    def record_preparation(self, fuse: int | None) -> None:
        self._control("record_preparation", m.RecordPreparation(ref=self.ref, connector=self.connector), fuse)
        self.prepared = True

    def set_up_network(self, fuse: int | None) -> None:
        assert self.to is not None
        self._control("set_up_network", m.SetUpNetwork(ref=self.ref, host=self.to.host), fuse)

    def fetch_block_devices(self, fuse: int | None) -> None:
        self.devices: m.BlockDevices = self._control("fetch_block_devices", self.ref, fuse)

    def detach_volumes(self, fuse: int | None) -> None:
        self._control("detach_volumes", m.DetachVolumes(ref=self.ref, devices=self.devices.devices), fuse)

    def set_up_block_devices(self, fuse: int | None) -> None:
        self._control("set_up_block_devices", m.SetUpBlockDevices(ref=self.ref, connector=self.connector), fuse)

    def connect_volumes(self, fuse: int | None) -> None:
        assert self.to is not None
        message = m.ConnectVolumes(call=self._call, instance_id=self.ref.instance_id, epoch=self.to.epoch, disks=())
        self._host("connect_volumes", message, fuse)

    def authorize_spawn(self, fuse: int | None) -> None:
        assert self.to is not None
        self.asked_to_authorize = True
        message = m.AuthorizeSpawn(ref=self.ref, host=self.to.host, incarnation=self.connector.incarnation)
        self._control("authorize_spawn", message, fuse)

    def spawn_guest(self, fuse: int | None) -> None:
        assert self.to is not None
        guest = m.GuestSpec(
            instance_id=self.ref.instance_id,
            name="it",
            epoch=self.to.epoch,
            flavor=self.facts.instance.flavor,
            root_disk=self.facts.instance.root_disk,
            power_state=self.wanted_power,
        )
        self._host("spawn_guest", m.SpawnGuest(call=self._call, guest=guest), fuse)
        self.started = True

    def finish_evacuation(self, fuse: int | None) -> None:
        assert self.to is not None
        message = m.FinishEvacuation(
            ref=self.ref,
            host=self.to.host,
            epoch=self.to.epoch,
            vm_state=self.wanted,
            power_state=self.wanted_power,
            outcome=self._outcome("recovered"),
        )
        self._control("finish_evacuation", message, fuse)
        self.over = True

    def call_off_attempt(self, fuse: int | None) -> None:
        answer: m.CalledOff = self._control("call_off_attempt", self.ref, fuse)
        if answer.authorized:
            self.todo.insert(0, "settle")

    def settle(self, fuse: int | None) -> None:
        """Its guest runs: forward. It is gone: the proof. Nobody answers: evidence, a fence, or it stays blocked."""
        assert self.to is not None
        message = m.GuestCall(
            call=self._call, instance_id=self.ref.instance_id, epoch=self.to.epoch, power_state=self.wanted_power
        )
        try:
            answer: m.Settled = self.cloud.tell(
                "destroy_guest" if self.deleted else "settle_guest", message, host=self.to.host, fuse=fuse
            )
        except Silent:
            return self._fence(fuse)
        if answer.forward:
            self.todo = ["finish_evacuation"]
            return None
        return self._gone(
            Evidence(
                kind=EvidenceKind.GUEST_GONE,
                host=self.to.host,
                incarnation=self.to.incarnation,
                who=self.to.host,
                reason="destroyed",
                at=NOW,
            )
        )

    def _fence(self, fuse: int | None) -> None:
        assert self.to is not None
        place = m.HostRef(host=self.to.host, incarnation=self.to.incarnation)
        found = self.cloud.tell("find_evidence", place)
        if found is None:
            request = m.FenceRequest(
                host=self.to.host, incarnation=self.to.incarnation, instance_id=self.ref.instance_id, spare_others=True
            )
            found = self.cloud.tell("fence_destination", request, fuse=fuse)
        self.fenced = True
        self._gone(found)

    def _gone(self, evidence: Evidence) -> None:
        self.proof = evidence
        self.todo[0] = "record_guest_gone"

    def record_guest_gone(self, fuse: int | None) -> None:
        self._control("record_guest_gone", m.RecordGuestGone(ref=self.ref, evidence=self.proof), fuse)

    def disconnect_volumes(self, fuse: int | None) -> None:
        if self.to is None or getattr(self, "fenced", False):
            self._done()
            return
        message = m.GuestCall(call=self._call, instance_id=self.ref.instance_id, epoch=self.to.epoch)
        self._host("disconnect_volumes", message, fuse)

    def tear_down_block_devices(self, fuse: int | None) -> None:
        self._control("tear_down_block_devices", m.Undo(ref=self.ref), fuse)

    def tear_down_network(self, fuse: int | None) -> None:
        self._control("tear_down_network", m.Undo(ref=self.ref), fuse)

    def release_capacity(self, fuse: int | None) -> None:
        self._control("release_capacity", m.Undo(ref=self.ref), fuse)

    def abandon_evacuation(self, fuse: int | None) -> None:
        ending = ENDINGS[self.cause]
        message = m.AbandonEvacuation(
            ref=self.ref,
            migration_status=ending.migration or MigrationStatus.FAILED,
            vm_state=ending.vm_state,
            fault=m.Fault(message="why", error_type="NoValidHostError", at=NOW) if ending.has_fault else None,
            outcome=self._outcome(ending.outcome),
            deleted=self.cause is EndingCause.DELETED,
        )
        self._control("abandon_evacuation", message, fuse)
        self.over = True

    @property
    def _call(self) -> m.HostCall:
        assert self.to is not None
        return m.HostCall(
            host=self.to.host, hypervisor_uuid=self.to.hypervisor_uuid, incarnation=self.to.incarnation
        )

    def _outcome(self, outcome: str) -> m.EvacuationOutcome:
        return m.EvacuationOutcome.model_validate(
            {
                "evacuation_id": self.ref.evacuation_id,
                "instance_id": self.ref.instance_id,
                "outcome": outcome,
                "source": self.facts.instance.source,
                "reason": "why",
                "started_at": NOW,
            }
        )
