"""An evacuation as it is asked for, accepted, opened and ended."""

from datetime import datetime, timedelta
from typing import Literal

from evacuation.ledger import StartMark
from evacuation.messages.common import AttemptPhase, AttemptRef, StepEvent, Tuning
from evacuation.messages.steps import Destination
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
    destination: Destination | None = None
    migration_id: str


class AttemptResult(Frozen):
    """What became of one attempt, and on which host; the workflow writes it into the outcome."""

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
    """What closes the evacuation in one transaction, once the start is recorded. `events` ends with `finish_evacuation`
    itself."""

    ref: AttemptRef
    host: str
    epoch: int
    vm_state: VmState
    power_state: PowerState
    outcome: EvacuationOutcome
    events: tuple[StepEvent, ...] = ()


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
