"""What is chosen with a hypervisor: everything of a host that depends on what its guests are."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path

from evacuation.observing import Observer
from evacuation.ports import Hypervisor, Looking, Reporter
from services.runtime.settings import Settings


class HypervisorDriver(ABC):
    """One for each kind of hypervisor, in the folder of that kind. What one does not need has its default here."""

    has_machines = False
    """Its hosts have power of their own: nobody boots them here."""
    remembers = True
    """Its hosts outlive their workers, and keep what was called off. False: a host ends with its worker."""
    opens_exports = True
    """Its guests write to what a volume service opens for them. False: to files of their own, whatever their disks are
    called."""

    @abstractmethod
    def open(self, settings: Settings, host: str) -> Hypervisor:
        """The port, for the host's own worker. Raises HypervisorUnableError."""

    def own_dir(self, settings: Settings, host: str) -> Path:
        """Where the host's worker keeps what is the host's own. Raises HypervisorUnableError."""
        return settings.state_dir / "hosts" / host

    def reporter(self, settings: Settings, host: str) -> Reporter | None:
        """None: there is nothing to report of such a host."""
        return None

    def looking(self, settings: Settings, host: str) -> Looking | None:
        """None: what runs there is what the port's inventory says."""
        return None

    def observer(self, settings: Settings, hosts: Sequence[str]) -> Observer | None:
        """Of hosts that are on this machine. None: they are asked through their workers."""
        return None

    def require_on(self, settings: Settings, host: str) -> None:
        """Before a worker serves the host. Raises HostNotFoundError, HostOffError."""
        return

    def boot(self, settings: Settings, host: str) -> str | None:
        """The worker's start is the host's, and its lock is held: the incarnation. None: it boots otherwise."""
        return None

    def make_disks(self, settings: Settings, instances: Collection[str]) -> None:
        """Of instances that never ran, where they are made with the fleet."""
        return
