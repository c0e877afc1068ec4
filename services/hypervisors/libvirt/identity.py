"""Who a libvirt host is, and which boot of it."""

import uuid
from pathlib import Path
from xml.etree import ElementTree

from evacuation.errors import EvacuateError, HypervisorUnableError, HypervisorUnavailableError
from evacuation.model import Frozen
from evacuation.ports import HostIdentity
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.machine import boot_id, machine_id
from services.runtime.durable_files import read, write, write_first


class KnownHypervisor(Frozen):
    """What libvirt said the last time. A host whose libvirtd hangs is still up, and says who it is."""

    uri: str
    hypervisor_uuid: str


class Identity:
    """Who the host is; known from a file also while libvirt does not answer."""

    def __init__(self, options: LibvirtOptions, connection: LibvirtConnection) -> None:
        self._options = options
        self._connection = connection
        self._file = options.state_dir / "hypervisor.json"
        self._incarnation = incarnation(options.incarnation_file)
        self._uuid = options.hypervisor_uuid

    def read(self) -> HostIdentity:
        """libvirt is asked once. Raises HypervisorUnableError, HypervisorUnavailableError (it never answered yet);
        which boot it is, is known in any case."""
        if self._uuid is None:
            try:
                self._uuid = self._asked()
            except EvacuateError as error:
                error.incarnation = self._incarnation or None
                raise
        return HostIdentity(hypervisor_uuid=self._uuid, machine_id=machine_id(), incarnation=self._incarnation)

    def _asked(self) -> str:
        try:
            capabilities = self._connection.reading("capabilities")
        except HypervisorUnavailableError:
            known = read(self._file, KnownHypervisor)
            if known is None or known.uri != self._options.uri:
                raise
            return known.hypervisor_uuid
        known = KnownHypervisor(uri=self._options.uri, hypervisor_uuid=host_uuid(capabilities))
        write(self._file, known)
        return known.hypervisor_uuid


def host_uuid(capabilities: str) -> str:
    found = ElementTree.fromstring(capabilities).findtext("host/uuid")
    if not found:
        raise HypervisorUnableError(
            "libvirt does not say the host's uuid", remedy="set EVACUATE_HYPERVISOR_UUID, or host_uuid in libvirtd.conf"
        )
    return found.strip()


def incarnation(path: Path | None) -> str:
    """The kernel's boot id, or what the file says: the first to ask in a boot writes it, whole."""
    if path is None:
        return boot_id()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_first(path, str(uuid.uuid4()))
    return path.read_text(encoding="ascii").strip()
