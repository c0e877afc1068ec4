"""What brings guests up on one host, and what that host remembers and reports."""

from collections.abc import Callable
from typing import Protocol

from evacuation import messages as m
from evacuation.capabilities import HostLook
from evacuation.ledger import LedgerMark
from evacuation.model import Frozen


class LedgerMemory(Protocol):
    """What a host keeps of the ledger, durably: by it a restored one is told."""

    def known(self) -> LedgerMark | None: ...

    def note(self, mark: LedgerMark | None) -> None:
        """Of one ledger the highest position; another ledger only if it says that it replaces the known one."""
        ...


class HostIdentity(Frozen):
    """Who a host is (uuid of its hypervisor, machine id) and which boot of it this is."""

    hypervisor_uuid: str
    machine_id: str
    incarnation: str
    memory: str | None = None
    """Of which memory of the host's (tombstones, locks) this is the worker: another, once that was lost."""


class Hypervisor(Protocol):
    """The guests of one host. Spawn, connect, disconnect, settle and destroy of one uuid exclude each other by a
    host-wide lock that is held through define and create, also against another process of this host's worker."""

    def identity(self) -> HostIdentity: ...

    def inventory(self) -> tuple[m.GuestState, ...]:
        """Every guest defined or running here, read from the real thing."""
        ...

    def prepare(self, message: m.PrepareDestination) -> m.Connector:
        """Driver able, no foreign guest of that uuid, shared disks visible. Raises DestinationUnableError."""
        ...

    def connect_volumes(self, message: m.ConnectVolumes) -> None: ...

    def disconnect_volumes(self, message: m.GuestCall) -> None: ...

    def spawn(self, guest: m.GuestSpec, *, last_look: Callable[[], None], beat: Callable[[str], None]) -> m.GuestState:
        """The guest of that uuid and epoch in its power state: found, or created after `last_look` (which raises
        to call it off). `beat` after every completed poll. Raises StaleEpochError (tombstone),
        DestinationUnableError (foreign guest), DiskLockedError, SpawnFailedError."""
        ...

    def settle(self, message: m.GuestCall) -> bool:
        """True: the guest of that epoch is in its wanted power state. Else tombstone, destroy, False."""
        ...

    def destroy(self, instance_id: str, epoch: int) -> None:
        """A durable tombstone first; then destroy and undefine every guest of that uuid at or below the epoch
        (never a newer one), and read back until nothing is starting or running. Shared disks are kept."""
        ...

    def bury(self, instance_id: str, epoch: int) -> None:
        """A durable tombstone, and nothing else: what runs is left alone."""
        ...

    def pause(self, instance_id: str, epoch: int) -> None:
        """It makes no more progress and writes nothing until somebody resumes it."""
        ...


class Looking(Protocol):
    """What a hypervisor can tell of what runs, beside `Hypervisor.inventory`."""

    def look(self) -> HostLook:
        """Every domain that is there and active, and no other; small enough for a message. Raises
        HypervisorUnavailableError, HypervisorUnableError."""
        ...


class Reporter(Protocol):
    """What a living host says of itself, for the store to have when it is dead."""

    def report(self, incarnation: str) -> m.HypervisorReport:
        """Of now, all guests included. Raises HypervisorUnavailableError, HypervisorUnableError."""
        ...
