"""The steps of an attempt (capacity, network, block devices, the guest)."""

from datetime import datetime

from evacuation.ledger import LedgerMark, Witness
from evacuation.messages.common import Answered, AttemptRef, HostCall, StepEvent
from evacuation.messages.guests import Connector, GuestSignal, Nic, VolumeTarget
from evacuation.model import Evidence, Frozen, RootDisk


class Destination(Frozen):
    """Where an attempt goes, and under which epoch. `hypervisor_uuid` is who must answer there; `ledger`: as the start
    there was authorised."""

    host: str
    hypervisor_uuid: str | None
    incarnation: str | None
    epoch: int
    ledger: LedgerMark | None = None


class ClaimCapacity(Frozen):
    """Choose a host for the attempt and claim room there. `target` None: the best host that fits."""

    ref: AttemptRef
    target: str | None
    excluded: dict[str, str] = {}
    """Hosts that must not be tried again, with the reason."""
    wait: bool = False
    """"No host" is an expected, benign "not yet"."""


class PrepareDestination(Frozen):
    """Whether the host can take this guest, asked of the host itself before anything is taken from the source."""

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
    """The host can take the guest; `connector` says how it reaches volumes, and in which boot."""

    connector: Connector


class RecordPreparation(Frozen):
    """The destination is able; from here on things are taken from the source."""

    ref: AttemptRef
    connector: Connector
    events: tuple[StepEvent, ...] = ()


class SetUpNetwork(Frozen):
    """Bind every port of the instance to `host`."""

    ref: AttemptRef
    host: str


class NetworkInfo(Frozen):
    """The ports as they are bound now."""

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
    """The instance's mappings in device order, as the store has them after the step."""

    devices: tuple[BlockDevice, ...]
    stored: StoredDefinition = StoredDefinition()
    """Of the guest whose devices they are."""


class DetachVolumes(Frozen):
    """`devices`: as they were fetched. What was unmapped since is left alone."""

    ref: AttemptRef
    devices: tuple[BlockDevice, ...]


class SetUpBlockDevices(Frozen):
    """Complete the reserved attachments with this connector."""

    ref: AttemptRef
    connector: Connector


class AuthorizeSpawn(Frozen):
    """The last question before a start: whether every other place of the guest is proven empty. `host` and
    `incarnation`: the destination, in the boot that was prepared."""

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


class RecordGuestGone(Frozen):
    """`begun`: a worker may have taken up its start there; what became of its host then may be the start's doing."""

    ref: AttemptRef
    evidence: Evidence
    begun: bool = True
    events: tuple[StepEvent, ...] = ()


class Undo(Frozen):
    """Input of the control compensations."""

    ref: AttemptRef


class CalledOff(Frozen):
    """`authorized`: the attempt's guest may run, or start yet, on its destination. `bereft`: it lost disks there."""

    authorized: bool
    bereft: bool = False


class Recorded(Frozen):
    """`changed`: the report said something new."""

    changed: bool
