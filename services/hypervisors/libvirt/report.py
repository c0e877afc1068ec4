"""What the worker of a libvirt host reports of it while it lives."""

import time
from datetime import UTC, datetime

from evacuation.capabilities import HostCapabilities, Unreported
from evacuation.errors import MalformedDefinitionError
from evacuation.messages import DefinedGuest, HypervisorReport
from evacuation.texts import shorten
from services.hypervisors.libvirt.autostart import Autostarts
from services.hypervisors.libvirt.capabilities import capabilities_of
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.hold import is_held
from services.hypervisors.libvirt.markers import mark_all
from services.hypervisors.libvirt.network_devices import network_devices
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.survey import Survey, stored_of, survey_of

LONGEST, MOST = 300, 200
"""Bytes of why a guest is left out, and guests that are named: the report itself must travel."""


class LibvirtReporter:
    """The port `Reporter`."""

    def __init__(self, options: LibvirtOptions, connection: LibvirtConnection | None = None) -> None:
        self._options = options
        self._connection = connection or LibvirtConnection(options.uri, options.host, timeout=options.call_timeout)
        self._autostarts = Autostarts(self._connection, options.state_dir)

    def report(self, incarnation: str) -> HypervisorReport:
        """As the host is afterwards: autostart of guests of ours is put off."""
        surveyed = survey_of(self._connection, self._options.domain_type, host=self._options.host)
        found, autostarts = self._autostarts.put_off(surveyed)
        guests, unreported = guests_of(found)
        own = {"unreported": unreported, "autostarts": autostarts, "held": is_held(self._options.uri)}
        return HypervisorReport(
            host=self._options.host,
            incarnation=incarnation,
            at=datetime.now(UTC),
            uptime=time.monotonic(),
            capabilities=self._completed(capabilities_of(found)).model_copy(update=own),
            guests=guests,
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


def guests_of(found: Survey) -> tuple[tuple[DefinedGuest, ...], tuple[Unreported, ...]]:
    """How they are defined, and those of which that cannot be told: one of these keeps no other from being told of."""
    told: list[DefinedGuest] = []
    left: list[Unreported] = []
    for each in found.domains:
        try:
            told.append(DefinedGuest(instance_id=each.id, stored=stored_of(each)))
        except MalformedDefinitionError as error:
            left.append(Unreported(id=each.id, name=each.name, why=shorten(error.line, LONGEST)))
    return tuple(told), tuple(left[:MOST])
