"""Where everything of the process hypervisors lies, and how it is written: whole or not at all, and durably.

disks/<instance>.disk              shared by all hosts
disks/.shared                      who the shared directory is
hosts/<host>/power.json            identity, incarnation, the power-off mark
hosts/<host>/power.lock            held while the power is switched, and while a worker is started
hosts/<host>/worker.lock           held by the host's one worker
hosts/<host>/definitions/<instance>.json
hosts/<host>/tombstones/<instance>.json
hosts/<host>/connections/<instance>.json
hosts/<host>/locks/<instance>.lock
"""

import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from evacuation.errors import HostNotFoundError
from evacuation.messages import GuestDisk, GuestSpec
from evacuation.model import Frozen
from evacuation.names import is_name


class Power(Frozen):
    """The durable half of a host's power state. `boot` is the machine's boot that the incarnation belongs to."""

    hypervisor_uuid: str
    incarnation: str
    boot: str
    off: bool = False


class Definition(Frozen):
    """A guest that is defined, running or not."""

    guest: GuestSpec


class Tombstone(Frozen):
    """No guest at or below the epoch may start here any more."""

    epoch: int


class Connections(Frozen):
    """The volumes that one epoch's guest sees here; closed: that epoch, and any older, sees none any more."""

    epoch: int
    disks: tuple[GuestDisk, ...] = ()
    closed: bool = False


Document = TypeVar("Document", bound=Frozen)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, text: str) -> None:
    """The file has the whole text, or what it had before; after the return it survives a power loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def remove_durably(path: Path) -> None:
    """The file is gone; gone already is fine."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def read(path: Path, kind: type[Document]) -> Document | None:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def write(path: Path, document: Frozen) -> None:
    write_durably(path, document.model_dump_json())


class HostLayout:
    """The paths of one host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.power = path / "power.json"
        self.power_lock = path / "power.lock"
        self.worker_lock = path / "worker.lock"

    def definition(self, instance_id: str) -> Path:
        return self._file("definitions", instance_id)

    def definitions(self) -> list[Definition]:
        found = (read(path, Definition) for path in sorted((self.path / "definitions").glob("*.json")))
        return [definition for definition in found if definition is not None]

    def tombstone(self, instance_id: str) -> Path:
        return self._file("tombstones", instance_id)

    def connections(self, instance_id: str) -> Path:
        return self._file("connections", instance_id)

    def lock(self, instance_id: str) -> Path:
        return self.path / "locks" / f"{instance_id}.lock"

    def _file(self, folder: str, instance_id: str) -> Path:
        return self.path / folder / f"{instance_id}.json"


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
            write_durably(self.marker, str(uuid.uuid4()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessRoot) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)
