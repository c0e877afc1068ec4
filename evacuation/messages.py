"""What workflows and activities say to each other: one frozen model in, one out.

Every message of an evacuation carries its `AttemptRef`, the key under which the effect is idempotent.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from evacuation.capabilities import HostCapabilities, SeenDomain, SharedDirectory
from evacuation.identity import Identity
from evacuation.ledger import LedgerMark, StartMark, Witness
from evacuation.model import (
    Evidence,
    Flavor,
    Frozen,
    MigrationStatus,
    PowerState,
    Rejection,
    RootDisk,
    TaskState,
    VmState,
)
from evacuation.power_check import PowerCheck
from evacuation.retries import Retrying


class AttemptPhase(StrEnum):
    """How far the store lets an attempt act. Forward calls need `forward` (or `authorized`, for what follows
    the authorisation); the first compensation moves it to `undoing`, and from then on every forward call is stale.
    `started`: its guest's start is known, so that only the instance's deletion undoes it."""

    FORWARD = "forward"
    AUTHORIZED = "authorized"
    STARTED = "started"
    UNDOING = "undoing"
    UNDONE = "undone"
    CLOSED = "closed"


class AttemptRef(Frozen):
    """The idempotency key of one attempt. `owner` is the run id of the workflow that acts: after an adoption
    every call of the run before is stale. `attempt` counts from 1; 0 stands before the first."""

    evacuation_id: str
    owner: str
    instance_id: str
    attempt: int = 0


class StepEvent(Frozen):
    """One executed step, for the instance action's events. The workflow is their only author; they are handed to
    the store with the next store step. (evacuation id, attempt, name, started_at) is unique."""

    name: str
    attempt: int
    host: str | None
    result: Literal["success", "error"]
    started_at: datetime
    finished_at: datetime
    details: str = ""


class Tuning(Frozen):
    """Limits and times that travel with the request. `scale` multiplies every timeout and interval."""

    scale: float = 1.0
    max_attempts: int = 5
    attempts_per_host: int = 2
    hold: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(minutes=10)
    """With a host that answers its probe, and has not done in time what it was asked for."""
    await_evidence: bool = False
    """A source that cannot be proven off is waited for, in the open, instead of ending the evacuation."""


class EvacuationRequest(Frozen):
    """What the caller asks for. `request_id` makes a request that was sent again the same request."""

    request_id: str
    instance_id: str
    target: str | None = None
    target_state: Literal["active", "stopped"] | None = None
    wait_for_capacity: timedelta | None = None
    source_confirmed_off: str | None = None
    requested_by: str = "operator"


class InstanceSnapshot(Frozen):
    """The instance as the check read it; `begin_evacuation` swaps against it."""

    id: str
    name: str
    project: str
    priority: int
    source: str
    vm_state: VmState
    task_state: TaskState | None
    root_disk: RootDisk
    flavor: Flavor
    wanted: VmState
    """active or stopped: the vm_state at the end of a recovery."""
    last_evacuation_id: str | None = None
    defined: bool = False
    files: tuple[str, ...] = ()
    """Of its own definition: that its disks are made of, without those that are volumes."""


class OpenEvacuation(Frozen):
    """A row that a closed run left open."""

    evacuation_id: str
    owner: str
    wanted: VmState | None = None
    """How it is to leave the instance."""


class Answered(Frozen):
    """What a host's worker says with every answer: the ledger as it has seen it last."""

    ledger: LedgerMark | None = None


class CheckedRequest(Frozen):
    """The decision of `check_request`: accepted, so far as the store can tell."""

    instance: InstanceSnapshot
    source_incarnation: str | None
    source_uuid: str | None
    evidence: Evidence | None
    """Current evidence for the source's incarnation, if there is any."""
    adopts: OpenEvacuation | None
    can_fence: bool
    also_stopped: tuple[str, ...]
    """Names of the other guests that a power-off of the source would stop."""
    deleted: bool = False
    """Only of an evacuation that is adopted: it is undone, and nothing is recovered."""
    no_host: tuple[Rejection, ...]
    """Empty when the dry run of the placement found a host; else every host with its reason."""
    witnessed: StartMark | None = None
    """What the latest evacuation of the instance has written down of the ledger."""


class Acceptance(Frozen):
    """The answer to an accepted request."""

    evacuation_id: str
    instance_id: str
    instance: str
    source: str
    also_stopped: tuple[str, ...] = ()


class FenceRequest(Frozen):
    """Prove one incarnation of a host off. `statement` is an operator's word; with `spare_others` the host is
    switched off only if no other unproven residence than `instance_id`'s is there (its power is always read)."""

    host: str
    incarnation: str | None
    instance_id: str
    statement: str | None = None
    who: str = "evacuate"
    spare_others: bool = False


class FenceHostInput(Frozen):
    """A person's `statement` that the host is off; without one its power is cut."""

    request: FenceRequest
    tuning: Tuning = Tuning()


class AcceptIdentity(Frozen):
    """Another board takes the name of a host. `known` is who it was, `incarnation` its last boot, as a person has seen
    them in the store; `found` who answers in its place, in which boot, None: whoever comes next. `statement`: their
    word that nothing of the one before runs any more."""

    host: str
    known: Identity | None
    incarnation: str | None
    found: Identity | None
    found_incarnation: str | None = None
    statement: str
    who: str


class AcceptHostInput(Frozen):
    request: AcceptIdentity
    tuning: Tuning = Tuning()


class ProbeRequest(Frozen):
    """`doubted`: whoever asks takes the host for lost, and so may the store. A worker that hears it comes back through
    its return. `ledger`: as it is now, for the host to remember. `live`: what runs there is asked for, and on which
    disks."""

    host: str
    hypervisor_uuid: str | None
    doubted: bool = False
    ledger: LedgerMark | None = None
    live: bool = False


class ProbeAnswer(Answered):
    """The host's own worker is there."""

    host: str
    incarnation: str
    in_service: bool


class Begin(Frozen):
    """`evidence`: what proved the source off, in this run. None: nothing yet, and nothing is taken from the instance
    before."""

    ref: AttemptRef
    instance: InstanceSnapshot
    source_incarnation: str | None
    adopts: OpenEvacuation | None
    request_id: str
    evidence: Evidence | None = None
    witnessed: StartMark | None = None
    events: tuple[StepEvent, ...] = ()


class Begun(Frozen):
    """The open evacuation: fresh (attempt 0, phase undone), or adopted with what its last attempt left."""

    evacuation_id: str
    attempt: int
    phase: AttemptPhase
    started_at: datetime
    wanted: VmState
    """Adopted: as the first run recorded it."""
    destination: "Destination | None" = None
    migration_id: str


class Destination(Frozen):
    """Where an attempt goes, and under which epoch. `hypervisor_uuid` is who must answer there; `ledger`: as the start
    there was authorised."""

    host: str
    hypervisor_uuid: str | None
    incarnation: str | None
    epoch: int
    ledger: LedgerMark | None = None


class ClaimCapacity(Frozen):
    ref: AttemptRef
    target: str | None
    excluded: dict[str, str] = {}
    """Hosts that must not be tried again, with the reason."""
    wait: bool = False
    """"No host" is an expected, benign "not yet"."""


class Connector(Frozen):
    """How a host reaches a volume, as the volume service needs to know it."""

    host: str
    incarnation: str
    ip: str = "127.0.0.1"
    initiator: str = ""


class VolumeTarget(Frozen):
    """Where a host finds the data of an attached volume: a network block device, as QEMU opens it."""

    protocol: Literal["nbd"] = "nbd"
    host: str
    port: int = 10809
    export: str | None = None
    """Its name there; None: the attachment's id."""


class GuestDisk(Frozen):
    volume_id: str
    device: str
    attachment_id: str
    target: VolumeTarget | None = None
    """None: the volume service does not say; the guest's definition knows, or the host cannot reach it."""


class Nic(Frozen):
    """`bridge` None: as the guest's definition, or the host's own setting for the network, has it."""

    port_id: str
    network: str
    mac: str
    ip: str
    bridge: str | None = None
    openvswitch: bool = False
    """The bridge is Open vSwitch's, and the port is known there by `port_id`."""


GuestSignal = Literal["agent", "serial", "ping", "none"]
"""By what a started guest is known to be up: its QEMU guest agent answers, a line on its serial console, an answered
ping; none: that the hypervisor says it runs."""


class GuestSpec(Frozen):
    """Everything a hypervisor needs to bring up one guest, once."""

    instance_id: str
    name: str
    epoch: int
    flavor: Flavor
    root_disk: RootDisk
    power_state: PowerState
    """running, or shutdown: only defined, never booted on the way."""
    nics: tuple[Nic, ...] = ()
    disks: tuple[GuestDisk, ...] = ()
    definition: str | None = None
    """The instance's own definition as its hypervisor stores it (libvirt: the domain's XML)."""
    signal: GuestSignal | None = None
    """None: as the definition says, or the host's own setting."""


class AuthorizedStart(GuestSpec):
    """A guest that may start on the host that comes back. `ledger`: as this transaction has left it."""

    ledger: LedgerMark | None = None


class HostCall(Frozen):
    """What every message to a host carries: who must answer (a mismatch is refused, non-retryable), and the ledger's
    mark, which the host remembers."""

    host: str
    hypervisor_uuid: str | None
    incarnation: str | None
    ledger: LedgerMark | None = None


class PrepareDestination(Frozen):
    call: HostCall
    instance_id: str
    name: str
    epoch: int
    root_disk: RootDisk
    defined: bool = False
    """It has a definition of its own."""
    files: tuple[str, ...] = ()
    """That its disks are made of, as that definition has them."""


class Prepared(Answered):
    connector: Connector


class RecordPreparation(Frozen):
    ref: AttemptRef
    connector: Connector
    events: tuple[StepEvent, ...] = ()


class SetUpNetwork(Frozen):
    ref: AttemptRef
    host: str


class NetworkInfo(Frozen):
    nics: tuple[Nic, ...]


class BlockDevice(Frozen):
    """A block device mapping as the store has it. `source_connector` is saved once, before the first detach."""

    volume_id: str
    device: str
    attachment_id: str | None
    source_connector: Connector | None = None
    target: VolumeTarget | None = None
    """Where the attachment's host finds the data, once it is attached."""


class StoredDefinition(Frozen):
    """What the store keeps of a guest as its hypervisor had it; see `GuestSpec`. A dead host cannot be asked."""

    definition: str | None = None
    signal: GuestSignal | None = None


class BlockDevices(Frozen):
    devices: tuple[BlockDevice, ...]
    stored: StoredDefinition = StoredDefinition()
    """Of the guest whose devices they are."""


class DetachVolumes(Frozen):
    ref: AttemptRef
    devices: tuple[BlockDevice, ...]


class SetUpBlockDevices(Frozen):
    ref: AttemptRef
    connector: Connector


class ConnectVolumes(Frozen):
    call: HostCall
    instance_id: str
    epoch: int
    disks: tuple[GuestDisk, ...]


class AuthorizeSpawn(Frozen):
    ref: AttemptRef
    host: str
    incarnation: str
    since: datetime | None = None
    """When the source was proven off: what any host has said of its guests since then will do."""
    witnessed: tuple[Witness, ...] = ()
    """What hosts have said of the ledger on the way."""
    events: tuple[StepEvent, ...] = ()


class Authorized(Frozen):
    """The destination's residence is written; `evidence` is what proved every older one empty. `ledger`: as this
    transaction has left it."""

    epoch: int
    evidence: tuple[Evidence, ...]
    ledger: LedgerMark | None = None


class SpawnGuest(Frozen):
    call: HostCall
    guest: GuestSpec


class GuestCall(Frozen):
    """About one guest on one host: settle, destroy, pause, disconnect."""

    call: HostCall
    instance_id: str
    epoch: int
    power_state: PowerState = PowerState.RUNNING
    """The wanted one; settling goes forward only on that."""


class BuryGuests(Frozen):
    """None of them may start there by that epoch or an older one; what runs is left alone."""

    call: HostCall
    guests: tuple["GuestKey", ...]


class GuestState(Frozen):
    """A guest as the hypervisor has it. `note`: what else was done when it was brought up, for a person."""

    instance_id: str
    epoch: int
    power_state: PowerState
    paused: bool = False
    note: str = ""


class Settled(Answered):
    """`forward`: the guest of that epoch is in its wanted power state. Else it is gone, and cannot come any more."""

    forward: bool
    incarnation: str


class RecordGuestGone(Frozen):
    """`begun`: a worker may have taken up its start there; what became of its host then may be the start's doing."""

    ref: AttemptRef
    evidence: Evidence
    begun: bool = True
    events: tuple[StepEvent, ...] = ()


class AttemptResult(Frozen):
    host: str
    result: Literal["recovered", "refused", "failed", "unknown", "cancelled"]
    reason: str = ""


class CarriedOn(Frozen):
    """What a run whose history has become long hands to the next one, besides what the store knows.

    `cancelled`: a cancel came, and is still to be honoured."""

    cancelled: bool = False
    attempts: tuple[AttemptResult, ...] = ()
    past_preparation: bool = False
    events: tuple[StepEvent, ...] = ()


class EvacuateInstanceInput(Frozen):
    """`carried` is None in the first run of an evacuation."""

    request: EvacuationRequest
    tuning: Tuning = Tuning()
    carried: CarriedOn | None = None


class EvacuationOutcome(Frozen):
    """What `instance evacuate --json` prints, and what the store keeps."""

    evacuation_id: str
    instance_id: str
    outcome: Literal["recovered", "not_recovered", "cancelled", "refused"]
    source: str | None
    destination: str | None = None
    error_type: str | None = None
    reason: str | None = None
    attempts: tuple[AttemptResult, ...] = ()
    started_at: datetime
    finished_at: datetime | None = None


class FinishEvacuation(Frozen):
    """The one final transaction. `events` ends with `finish_evacuation` itself."""

    ref: AttemptRef
    host: str
    epoch: int
    vm_state: VmState
    power_state: PowerState
    outcome: EvacuationOutcome
    events: tuple[StepEvent, ...] = ()


class Undo(Frozen):
    """Input of the control compensations."""

    ref: AttemptRef


class Fault(Frozen):
    """The instance's fault: names each host and why."""

    message: str
    error_type: str
    at: datetime


class AbandonEvacuation(Frozen):
    """Close an evacuation that did not recover its instance. `vm_state` None: as it was before. `task_state`
    becomes none in every case. `deleted`: the instance is gone, and so are its ports, attachments, allocations."""

    ref: AttemptRef
    migration_status: MigrationStatus
    vm_state: VmState | None
    fault: Fault | None
    outcome: EvacuationOutcome
    deleted: bool = False
    events: tuple[StepEvent, ...] = ()


class HostReport(Answered):
    """A host's own worker says who it is and what runs there. `domains`: in place of `guests`, if that was asked for
    and its hypervisor can tell."""

    host: str
    hypervisor_uuid: str
    machine_id: str
    incarnation: str
    guests: tuple[GuestState, ...]
    domains: tuple[SeenDomain, ...] | None = None
    shared: tuple[SharedDirectory, ...] = ()
    memory: str | None = None
    """Of what the host remembers (tombstones, locks); another one: that was lost. None: an older worker."""

    @property
    def identity(self) -> Identity:
        return Identity(hypervisor_uuid=self.hypervisor_uuid, machine_id=self.machine_id)

    def about(self, instances: Collection[str]) -> "HostReport":
        """What it says of these, and of no others."""
        return self.model_copy(update={"guests": tuple(each for each in self.guests if each.instance_id in instances)})


class ReturnHostInput(Frozen):
    report: HostReport
    tuning: Tuning = Tuning()


class AskHostsInput(Frozen):
    """`guests`: what runs there is asked for too. `within`: seconds that one answer may take; None: as a probe."""

    hosts: tuple[ProbeRequest, ...]
    guests: bool = False
    within: float | None = None
    tuning: Tuning = Tuning()


class CheckPowerInput(Frozen):
    hosts: tuple[ProbeRequest, ...]
    tuning: Tuning = Tuning()


class PowerChecks(Frozen):
    checks: tuple[PowerCheck, ...]


class HostAnswer(Answered):
    """`why_not` is empty for a host that has answered; `silent`: it said nothing, not even an error. `incarnation`: of
    the boot that has answered, be it with an error. `report`, if its guests were asked for."""

    host: str
    incarnation: str | None = None
    report: HostReport | None = None
    why_not: str = ""
    silent: bool = False


class HostAnswers(Frozen):
    answers: tuple[HostAnswer, ...]


class Reconcile(Frozen):
    """All that was seen of the world beside the store. `unasked`: hosts that did not answer; `starts`: what the latest
    evacuation of an instance has written down; `running`: instances whose evacuation's workflow runs."""

    reports: tuple[HostReport, ...]
    unasked: tuple[str, ...] = ()
    starts: dict[str, StartMark] = {}
    running: frozenset[str] = frozenset()
    who: str = "operator"


class FoundElsewhere(Frozen):
    """An instance whose guest runs where the store did not know of it."""

    instance: str
    source: str | None
    destination: str
    epoch: int


class Reconciled(Frozen):
    """What a reconciliation did: `raised` are instances whose epochs the store had not given. `conflicts` are left to a
    person, and so are `unknown` guests, whose instance the store does not have. `awaited`: instances that were about to
    be started where nobody could look; nothing of them starts elsewhere before that place is proven empty."""

    position: int
    moved: tuple[FoundElsewhere, ...] = ()
    raised: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


EVACUATED = "it was evacuated"


class GuestKey(Frozen):
    """`why`: in words for a person."""

    instance_id: str
    name: str
    epoch: int
    why: str = EVACUATED


class ReturnPlan(Frozen):
    """What a host that comes back has to do before it serves.

    `held_by`: names of instances whose evacuation still relies on this host's fence (`held_ids`: their ids); it waits
    for them, and for the end of a cut of its power (`being_cut`), before which there is nothing to do.
    `bury`: epochs, and all below, that must not start there: the host has lost what it remembered of them in this boot.
    It comes before everything else.
    `destroy`: guests that were evacuated from here, or whose disks were taken away (those are in `start`, too); by the
    old residence's epoch. `quarantine`: their evacuation is in flight; paused, never destroyed. `start`: they belong
    here and do not run."""

    held_by: tuple[str, ...]
    held_ids: tuple[str, ...] = ()
    being_cut: bool = False
    bury: tuple[GuestKey, ...] = ()
    destroy: tuple[GuestKey, ...]
    quarantine: tuple[GuestKey, ...]
    start: tuple[GuestKey, ...]
    ledger: LedgerMark | None = None


class HostGuest(Frozen):
    """Names one instance on one host and incarnation, for the steps of a return and of a deletion."""

    host: str
    incarnation: str
    instance_id: str
    epoch: int


class RecordStarted(Frozen):
    guest: HostGuest
    power_state: PowerState


class InPlaceInput(Frozen):
    """An instance is to be started, or stopped, on the host that it is on."""

    instance_id: str
    name: str
    tuning: Tuning = Tuning()


class InPlacePlan(Frozen):
    """Where the instance lives, as the store has it. `epoch`: the last that was given; every guest up to it is
    destroyed there before another one may start. `residence_epoch`: of the guest that may be there."""

    host: str
    hypervisor_uuid: str | None
    incarnation: str
    epoch: int
    residence_epoch: int | None
    vm_state: VmState
    busy: bool = False
    """An earlier start or stop was left in the middle."""


class AuthorizeInPlace(Frozen):
    """`guest`: what its host has destroyed, up to that epoch, in that boot. `owner`: the run that asks."""

    guest: HostGuest
    owner: str
    vm_state: VmState
    witnessed: tuple[Witness, ...] = ()


class RecordInPlace(Frozen):
    """The guest of that epoch is as its host says. `vm_state` None: it could not be brought up."""

    guest: HostGuest
    vm_state: VmState | None
    power_state: PowerState


class FollowPlan(Frozen):
    """Where a residence is said to be, and who is asked for its guest."""

    residence: HostGuest
    hosts: tuple[ProbeRequest, ...]


class FollowInstance(Frozen):
    """What every host that answered in the same breath has of one instance. `residence`: as it was before that."""

    residence: HostGuest
    reports: tuple[HostReport, ...]
    who: str


class FollowInput(Frozen):
    """The residence of the instance is to go where its guest went."""

    instance_id: str
    name: str
    who: str
    tuning: Tuning = Tuning()


class HostRef(Frozen):
    host: str
    incarnation: str | None


class ReturnedHost(HostRef):
    """`memory`: what the host remembers from now on; see `HostReport`."""

    memory: str | None = None


class PowerQuery(HostRef):
    """`grace`: seconds that are waited before it is said that the power reads off."""

    grace: float = 0.0


class EvidenceQuery(HostRef):
    """Asked for the sake of one instance's evacuation: whose disks may be part of the evidence."""

    instance_id: str = ""


class DeleteInstanceInput(Frozen):
    instance_id: str
    name: str
    tuning: Tuning = Tuning()


class DeletionPlan(Frozen):
    """`evacuation_running`: its own workflow cleans up. Else `guest` (if any) is to be destroyed at `call`."""

    evacuation_running: bool
    guest: HostGuest | None
    hypervisor_uuid: str | None


class InstanceRef(Frozen):
    instance_id: str


class Done(Frozen):
    """An activity that has nothing else to say."""


class HostDone(Answered, Done):
    """A host's activity that has nothing else to say."""


class StartedGuest(GuestState, Answered):
    """The guest that was brought up."""


class StepView(Frozen):
    """One line of the live table."""

    name: str
    host: str | None
    state: Literal["running", "done", "failed"]
    started_at: datetime
    finished_at: datetime | None = None
    note: str = ""


class Progress(Frozen):
    """The answer of the query `progress`. In phase `blocked`, `cause` and `remedy` say what a person can do."""

    evacuation_id: str
    instance: str
    source: str | None
    destination: str | None
    phase: Literal["checking", "fencing", "evacuating", "settling", "blocked", "undoing", "finishing", "ended"]
    attempt: int
    steps: tuple[StepView, ...]
    cause: str = ""
    remedy: str = ""
    retrying: Retrying | None = None
    """What this run itself tries again, and has failed so often that a person should know."""


class RecordDeleted(Frozen):
    instance_id: str
    guest: HostGuest | None


class CalledOff(Frozen):
    """`authorized`: the attempt's guest may run, or start yet, on its destination. `bereft`: it lost disks there."""

    authorized: bool
    bereft: bool = False


class DefinedGuest(Frozen):
    """A guest as its host has it defined."""

    instance_id: str
    stored: StoredDefinition


class HypervisorReport(Frozen):
    """What a host's own worker reports while the host lives: what it can run, and how its guests are defined.
    `guests` may be some of them only. Of two reports of one boot the older one counts for nothing, however late it
    arrives."""

    host: str
    incarnation: str
    at: datetime
    """By the host's clock, which somebody may set."""
    uptime: float | None = None
    """Seconds, by a clock that nobody sets: what orders the reports of a boot."""
    capabilities: HostCapabilities
    guests: tuple[DefinedGuest, ...] = ()


class ReportHostInput(Frozen):
    report: HypervisorReport
    tuning: Tuning = Tuning()


class Recorded(Frozen):
    """`changed`: the report said something new."""

    changed: bool
