"""The nouns of the domain, in Nova's words: states, resources, residences and evidence.

Every class is a frozen value. Memory is in MiB, disk and volumes in GiB, times are aware UTC datetimes.
"""

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: it never changes, and a field that a newer release added is ignored, not refused. Its validator is
    built at its first use: a command uses few of them."""

    model_config = ConfigDict(defer_build=True, frozen=True)


def build_values(kind: type[Frozen] = Frozen) -> None:
    """The validators of all that is defined by now: for a program whose threads would build one at the same time."""
    for each in kind.__subclasses__():
        each.model_rebuild()
        build_values(each)


class VmState(StrEnum):
    ACTIVE = "active"
    STOPPED = "stopped"
    ERROR = "error"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    BUILDING = "building"
    RESCUED = "rescued"
    RESIZED = "resized"
    DELETED = "deleted"


class TaskState(StrEnum):
    """What an operation is doing to the instance; no operation is None, never a member."""

    REBUILDING = "rebuilding"
    REBUILD_BLOCK_DEVICE_MAPPING = "rebuild_block_device_mapping"
    REBUILD_SPAWNING = "rebuild_spawning"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    REBOOTING = "rebooting"
    REBOOTING_HARD = "rebooting_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    MIGRATING = "migrating"
    RESIZE_PREP = "resize_prep"
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_UPLOADING = "image_uploading"
    SPAWNING = "spawning"
    SCHEDULING = "scheduling"
    DELETING = "deleting"


class PowerState(StrEnum):
    RUNNING = "running"
    SHUTDOWN = "shutdown"
    NOSTATE = "nostate"


class HostState(StrEnum):
    UP = "up"
    DOWN = "down"


class MigrationStatus(StrEnum):
    ACCEPTED = "accepted"
    PRE_MIGRATING = "pre-migrating"
    DONE = "done"
    COMPLETED = "completed"
    FAILED = "failed"
    ERROR = "error"
    CANCELLED = "cancelled"


class PortStatus(StrEnum):
    ACTIVE = "ACTIVE"
    DOWN = "DOWN"
    BUILD = "BUILD"


class VolumeStatus(StrEnum):
    AVAILABLE = "available"
    RESERVED = "reserved"
    IN_USE = "in-use"


class AttachmentStatus(StrEnum):
    RESERVED = "reserved"
    ATTACHED = "attached"


class RootDisk(StrEnum):
    SHARED = "shared"
    LOCAL = "local"
    VOLUME = "volume"


class GroupPolicy(StrEnum):
    AFFINITY = "affinity"
    ANTI_AFFINITY = "anti-affinity"
    SOFT_AFFINITY = "soft-affinity"
    SOFT_ANTI_AFFINITY = "soft-anti-affinity"


class PowerReading(StrEnum):
    """What a host's power reads. Unknown: nothing here can read it, or what can does not answer."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> "PowerReading | None":
        """Histories have whether it read off, and no more."""
        known = {True: cls.OFF, False: cls.UNKNOWN}
        return known[value] if isinstance(value, bool) else None


class EvidenceKind(StrEnum):
    """Why a place is known to be empty."""

    POWER_OFF = "power-off"
    OPERATOR = "operator"
    NEW_INCARNATION = "new-incarnation"
    GUEST_GONE = "guest-gone"
    STORAGE_REVOKED = "storage-revoked"


class Flavor(Frozen):
    vcpus: int
    memory_mb: int
    disk_gb: int

    def on_host(self, root_disk: RootDisk) -> Self:
        """What an instance of it takes of the host that it is on: of the disk only what that host stores itself. A
        root disk that is a volume, or on shared storage, is nobody's (Nova: `is_bfv`)."""
        return self if root_disk is RootDisk.LOCAL else self.model_copy(update={"disk_gb": 0})


class Evidence(Frozen):
    """Who or what says, and when, that one incarnation of a host runs nothing any more."""

    kind: EvidenceKind
    host: str
    incarnation: str | None
    who: str
    reason: str
    at: datetime
    scope: str = "host"
    """host, one guest, or the disks that were taken away."""
    cut: bool = False
    """The host was on when its power was cut."""
    also: "tuple[Evidence, ...]" = ()
    """What else counted, where a policy asks for more than one kind."""


class Candidate(Frozen):
    """A host as the placement sees it: totals with allocation ratios applied, and what is allocated."""

    name: str
    enabled: bool
    up: bool
    vcpus: int
    vcpus_used: int
    memory_mb: int
    memory_mb_used: int
    disk_gb: int
    disk_gb_used: int
    availability_zone: str
    traits: frozenset[str] = frozenset()
    in_flight: int = 0
    most_in_flight: int | None = None


class GroupMember(Frozen):
    """Another member of the instance's server group, and the hosts it counts on (recorded, and in flight)."""

    name: str
    hosts: frozenset[str]


class PlacementRequest(Frozen):
    """What a destination must satisfy. `flavor`: what it takes of a host. `target` set: only that host will do."""

    flavor: Flavor
    source: str
    target: str | None = None
    availability_zone: str | None = None
    required_traits: frozenset[str] = frozenset()
    policy: GroupPolicy | None = None
    members: tuple[GroupMember, ...] = ()
    excluded: dict[str, str] = {}
    unable: dict[str, str] = {}
    """Hosts that cannot bring up this guest from its definition, with the reason."""


class Rejection(Frozen):
    host: str
    reason: str


class Placement(Frozen):
    """Hosts that fit, best first, and every other host with the reason why not."""

    chosen: tuple[str, ...]
    rejected: tuple[Rejection, ...]
