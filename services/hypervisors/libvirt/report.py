"""What the worker of a libvirt host reports of it while it lives."""

import time
from datetime import UTC, datetime

from evacuation.capabilities import HostCapabilities
from evacuation.messages import DefinedGuest, HypervisorReport
from services.hypervisors.libvirt.capabilities import capabilities_of
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.markers import mark_all
from services.hypervisors.libvirt.network_devices import network_devices
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.survey import Survey, stored_of, survey_of


class LibvirtReporter:
    """The port `Reporter`."""

    def __init__(self, options: LibvirtOptions) -> None:
        self._options = options
        self._connection = LibvirtConnection(options.uri, options.host, timeout=options.call_timeout)

    def report(self, incarnation: str) -> HypervisorReport:
        found = survey_of(self._connection, self._options.domain_type, host=self._options.host)
        return HypervisorReport(
            host=self._options.host,
            incarnation=incarnation,
            at=datetime.now(UTC),
            uptime=time.monotonic(),
            capabilities=self._completed(capabilities_of(found)),
            guests=_guests(found),
        )

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


def _guests(found: Survey) -> tuple[DefinedGuest, ...]:
    stored = ((each.id, stored_of(each)) for each in found.domains)
    return tuple(DefinedGuest(instance_id=id, stored=each) for id, each in stored if each is not None)
