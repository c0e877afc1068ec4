"""What the worker of a libvirt host reports of it while it lives."""

from datetime import UTC, datetime

from evacuation.capabilities import HostCapabilities
from evacuation.errors import HypervisorUnavailableError, MalformedDefinitionError
from evacuation.messages import DefinedGuest, HypervisorReport
from services.hypervisors.libvirt.api import XML_INACTIVE, Code, Connection, Domain
from services.hypervisors.libvirt.capabilities import capabilities_of
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.failures import code_of, one_line
from services.hypervisors.libvirt.markers import mark_all
from services.hypervisors.libvirt.network_devices import network_devices
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.survey import stored_of


class LibvirtReporter:
    """The port `Reporter`."""

    def __init__(self, options: LibvirtOptions) -> None:
        self._options = options
        self._connection = LibvirtConnection(options.uri, options.host, timeout=options.call_timeout)

    def report(self, incarnation: str) -> HypervisorReport:
        try:
            said, guests = self._connection.reading("a report", self._ask)
        except Exception as error:
            if code_of(error) is None:
                raise
            raise HypervisorUnavailableError(f"libvirt cannot be read: {one_line(error)}") from error
        return HypervisorReport(
            host=self._options.host,
            incarnation=incarnation,
            at=datetime.now(UTC),
            capabilities=self._completed(said),
            guests=guests,
        )

    def _ask(self, connection: Connection) -> tuple[HostCapabilities, tuple[DefinedGuest, ...]]:
        said = capabilities_of(connection, self._options.domain_type)
        guests = (_guest(domain) for domain in connection.listAllDomains())
        found = sorted((each for each in guests if each is not None), key=lambda each: each.instance_id)
        return said, tuple(found)

    def _completed(self, said: HostCapabilities) -> HostCapabilities:
        """With what this worker sees itself, and without what it replaces in a definition anyway."""
        options = self._options
        shared = self._connection.elsewhere("a look at the shared directories", lambda: mark_all(options.shared_dirs))
        return said.model_copy(
            update={
                "machines": None if options.machine else said.machines,
                "cpu_models": None if options.cpu else said.cpu_models,
                "network_devices": network_devices(options.uri),
                "bridges": options.bridges,
                "shared": shared,
            }
        )


def _guest(domain: Domain) -> DefinedGuest | None:
    """None: it went away between two looks, or is no definition at all."""
    try:
        return DefinedGuest(instance_id=domain.UUIDString(), stored=stored_of(domain.XMLDesc(XML_INACTIVE)))
    except MalformedDefinitionError:
        return None
    except Exception as error:
        if code_of(error) == Code.NO_DOMAIN:
            return None
        raise
