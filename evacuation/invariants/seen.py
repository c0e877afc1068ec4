"""What a look at the world has seen: rows of the store, as far as a rule asks for them, and guests and disks."""

from datetime import datetime

from evacuation.model import Frozen


class SeenWrite(Frozen):
    """A disk that a guest writes to. `disk`: the same for all who see the same one; `path`: as the guest's host has it.
    `shareable`: its definition says that others may write to it, too."""

    disk: str
    path: str
    shareable: bool = False


class SeenGuest(Frozen):
    """A guest that is there, as the process table has it, or as its host's worker says. `writes`: it is not paused,
    nor is it only about to start. `pid`, `name`, `state` (in a word), `disks`: None where nobody can see it."""

    host: str
    incarnation: str
    instance_id: str
    epoch: int
    pid: int | None = None
    writes: bool
    name: str | None = None
    state: str | None = None
    disks: tuple[SeenWrite, ...] | None = None

    @property
    def known_by(self) -> str:
        """What tells it from others on its host, in brackets."""
        return f"(epoch {self.epoch})" if self.pid is None else f"(epoch {self.epoch}, pid {self.pid})"


class SeenDisk(Frozen):
    """What a disk's journal says. `missing`: why there is none, as the end of a sentence about the disk. `begins`:
    counter and epoch of its first record."""

    instance_id: str
    exists: bool
    missing: str = "is gone"
    begins: tuple[int, int] | None = None
    interleaved: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class SeenHost(Frozen):
    """`fenced`: there is current evidence that its boot is off, the oldest of it since then. Sizes with the
    allocation ratios applied; what is free as it is noted."""

    name: str
    state: str
    fenced: bool
    fenced_since: datetime | None
    incarnation: str | None
    hypervisor_uuid: str | None
    gone_and_seen: tuple[str, ...] = ()
    """Last boots of boards that were said to be gone with all that ran there, and were heard of since."""
    machine_id: str | None
    vcpus: int
    vcpus_used: int
    vcpus_free: int
    memory_mb: int
    memory_mb_used: int
    memory_mb_free: int
    disk_gb: int
    disk_gb_used: int
    disk_gb_free: int
    max_evacuations: int


class SeenInstance(Frozen):
    """`task_state` of one that is marked for deletion is deleting. `epoch`: the last that was given."""

    id: str
    name: str
    host: str | None
    vm_state: str
    task_state: str | None
    power_state: str
    wanted_vm_state: str | None
    has_fault: bool
    root_disk: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    server_group: str | None
    last_evacuation_id: str | None
    epoch: int


class SeenResidence(Frozen):
    """Where a guest may exist. `proof` None: nothing proves it empty, so the guest may be there. `started`: it was
    known to run there."""

    instance_id: str
    instance: str
    host: str
    incarnation: str | None
    epoch: int
    proof: str | None
    evacuation_id: str | None
    attempt: int | None
    started: bool = False


class SeenEvacuation(Frozen):
    """`destination` and `epoch` are the current attempt's. `ended`: its outcome, in a word."""

    id: str
    instance_id: str
    instance: str
    migration_id: str
    source: str
    destination: str | None
    attempt: int
    epoch: int | None
    phase: str
    vm_state_before: str
    wanted: str
    ended: str | None
    has_reason: bool
    has_end: bool

    @property
    def open(self) -> bool:
        return self.phase != "closed"


class SeenAttempt(Frozen):
    evacuation_id: str
    number: int
    instance_id: str
    host: str
    epoch: int


class SeenMigration(Frozen):
    id: str
    evacuation_id: str
    instance_id: str
    status: str
    source: str
    source_epoch: int
    destination: str | None
    updated_at: datetime


class SeenAction(Frozen):
    evacuation_id: str
    instance_id: str
    finished: bool


class SeenAllocation(Frozen):
    consumer_id: str
    host: str
    vcpus: int
    memory_mb: int
    disk_gb: int


class SeenPort(Frozen):
    """`host` and `status` are those of the active binding."""

    id: str
    instance_id: str
    network: str
    mac: str
    ip: str | None
    host: str | None
    status: str


class SeenBinding(Frozen):
    """An inactive binding of a port: the source's while an evacuation runs, and none afterwards."""

    instance_id: str
    port_id: str
    host: str


class SeenAttachment(Frozen):
    id: str
    volume_id: str
    instance_id: str
    host: str | None
    status: str


class SeenVolume(Frozen):
    id: str
    name: str
    status: str
    attachments: tuple[SeenAttachment, ...] = ()


class SeenMapping(Frozen):
    """A block device mapping, the attachment that it points to, and whose connector it keeps for a way back."""

    instance_id: str
    volume_id: str
    attachment_id: str | None
    source_connector: str | None = None


class SeenFlaw(Frozen):
    """What the database itself is to keep out: a constraint that is gone, a reference to nothing, an unknown word."""

    table: str
    what: str
    row: str = ""


class SeenSighting(Frozen):
    """A guest that a host was seen to have where no residence was."""

    instance_id: str
    host: str
    incarnation: str
    epoch: int
    state: str
