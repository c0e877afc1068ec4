"""The calls of one run, each as the workflow makes it: the message, and what the answer means for what comes next."""

from typing import Any

from evacuation import messages as m
from evacuation.model import Evidence, EvidenceKind, MigrationStatus, PowerState, VmState
from evacuation.transitions import ENDINGS, EndingCause
from tests.machines.cloud import Cloud, Silent
from tests.machines.fleet import NOW


class Calls:
    """`todo` is what comes next; a call that was answered is off it."""

    cloud: Cloud
    number: int
    ref: m.AttemptRef
    facts: m.CheckedRequest
    begun: m.Begun
    todo: list[str]
    excluded: dict[str, str]
    to: m.Destination | None = None
    connector: m.Connector
    devices: m.BlockDevices
    evidence: Evidence | None = None
    proof: Evidence
    cause: EndingCause
    claiming: int | None = None
    first = 0
    deleted = over = started = fenced = False
    asked_to_authorize = prepared = asked_to_begin = False

    @property
    def wanted_power(self) -> PowerState:
        return PowerState.SHUTDOWN if self.wanted == VmState.STOPPED else PowerState.RUNNING

    @property
    def wanted(self) -> VmState:
        return self.begun.wanted

    def _done(self) -> None:
        del self.todo[0]

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
        self.begun = self._control("begin_evacuation", message, fuse)
        self.ref = self.ref.model_copy(update={"evacuation_id": self.begun.evacuation_id})
        self.first = self.begun.attempt
        self.ref = self.ref.model_copy(update={"attempt": self.begun.attempt})
        if self.facts.adopts is not None:
            self.take_over()

    def take_over(self) -> None:
        raise NotImplementedError

    def claim_capacity(self, fuse: int | None) -> None:
        if self.todo[0] == "claim_capacity" and not self._is_claiming():
            self.ref = self.ref.model_copy(update={"attempt": self.ref.attempt + 1})
            self.claiming = self.ref.attempt
            self.to, self.asked_to_authorize, self.prepared, self.fenced = None, False, False, False
        message = m.ClaimCapacity(ref=self.ref, target=None, excluded=self.excluded)
        self.to = self._control("claim_capacity", message, fuse)

    def _is_claiming(self) -> bool:
        """The claim of this attempt was made, and its answer was lost."""
        return self.claiming == self.ref.attempt and self.to is None

    def prepare_destination(self, fuse: int | None) -> None:
        assert self.to is not None
        message = m.PrepareDestination(
            call=self._call,
            instance_id=self.ref.instance_id,
            name="it",
            epoch=self.to.epoch,
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
        self.devices = self._control("fetch_block_devices", self.ref, fuse)

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
        place = m.EvidenceQuery(host=self.to.host, incarnation=self.to.incarnation, instance_id=self.ref.instance_id)
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
        if self.to is None or self.fenced:
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
        return m.HostCall(host=self.to.host, hypervisor_uuid=self.to.hypervisor_uuid, incarnation=self.to.incarnation)

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
