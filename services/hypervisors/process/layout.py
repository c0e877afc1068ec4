"""Where everything of the process hypervisors lies.

disks/<instance>.disk              shared by all hosts
disks/.shared                      who the shared directory is
hosts/<host>/power.json            identity, incarnation, the power-off mark
hosts/<host>/power.lock            held while the power is switched, and while a worker is started
hosts/<host>/worker.lock           held by the host's one worker
hosts/<host>/memory.json           whether what its worker remembers is still what it was
hosts/<host>/ledger.json           what its worker has seen of the ledger
hosts/<host>/definitions/<instance>.json
hosts/<host>/tombstones/<instance>.json
hosts/<host>/connections/<instance>.json
hosts/<host>/locks/<instance>.lock
"""

import uuid
from collections.abc import Iterable
from pathlib import Path

from evacuation.errors import HostNotFoundError
from evacuation.messages import GuestSpec
from evacuation.model import Frozen
from evacuation.names import is_name
from services.hypervisors.ledger import MARK
from services.hypervisors.memory import GuestFiles
from services.hypervisors.process.making import make_disk
from services.runtime.durable_files import read, sync_directory, write_first


class Power(Frozen):
    """The durable half of a host's power state. `boot` is the machine's boot that the incarnation belongs to."""

    hypervisor_uuid: str
    incarnation: str
    boot: str
    off: bool = False


class Definition(Frozen):
    """A guest that is defined, running or not."""

    guest: GuestSpec


class HostLayout(GuestFiles):
    """The paths of one host."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.power = path / "power.json"
        self.power_lock = path / "power.lock"
        self.worker_lock = path / "worker.lock"
        self.ledger = path / MARK

    def definition(self, instance_id: str) -> Path:
        return self.file("definitions", instance_id)

    def definitions(self) -> list[Definition]:
        found = (read(path, Definition) for path in sorted((self.path / "definitions").glob("*.json")))
        return [definition for definition in found if definition is not None]


class ProcessRoot:
    """The directory that all the process hypervisors of one fleet share."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.disks = self.path / "disks"
        self.marker = self.disks / ".shared"

    def disk(self, instance_id: str) -> Path:
        return self.disks / f"{instance_id}.disk"

    def host(self, host: str) -> HostLayout:
        """Raises HostNotFoundError for what cannot be a host's name."""
        if not is_name(host):
            raise HostNotFoundError(f"{host!r} is not a host's name")
        return HostLayout(self.path / "hosts" / host)

    def hosts(self) -> list[str]:
        """Every host that was ever powered on."""
        return sorted(path.parent.name for path in self.path.glob("hosts/*/power.json"))

    def create(self) -> None:
        """The shared directory exists and has a name; it keeps the one that it has."""
        self.disks.mkdir(parents=True, exist_ok=True)
        if not self.marker.exists():
            write_first(self.marker, str(uuid.uuid4()))

    def make_disks(self, instance_ids: Iterable[str]) -> None:
        """Each of them has a disk; the one that it has is left as it is."""
        self.create()
        for each in instance_ids:
            make_disk(self.disk(each), each)
        sync_directory(self.disks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessRoot) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)
