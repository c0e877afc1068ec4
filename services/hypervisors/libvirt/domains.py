"""The domains of one libvirt. Each call on one says what is so afterwards, and may be repeated."""

from collections.abc import Callable
from dataclasses import dataclass

from services.hypervisors.libvirt.api import (
    AFFECT_CONFIG,
    AFFECT_LIVE,
    METADATA_ELEMENT,
    PAUSED_STARTING_UP,
    XML_INACTIVE,
    XML_SECURE,
    Code,
    Connection,
    Domain,
    State,
    Undefine,
)
from services.hypervisors.libvirt.calls import no_beat
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.failures import code_of
from services.hypervisors.libvirt.metadata import UNMARKED, epoch_in, mark_text
from services.hypervisors.libvirt.names import NAMESPACE, PREFIX

KEEP_TPM_SINCE = 8_009_000


@dataclass(frozen=True)
class Seen:
    """A domain as libvirt has it now. `starting`: somebody's create is under way."""

    instance_id: str
    name: str
    epoch: int
    active: bool
    paused: bool
    starting: bool
    persistent: bool


class Domains:
    def __init__(self, connection: LibvirtConnection) -> None:
        self._connection = connection

    def all(self) -> list[Seen]:
        def look(connection: Connection) -> list[Seen]:
            seen = (_seen(domain) for domain in connection.listAllDomains())
            return [each for each in seen if each is not None]

        return self._connection.reading("the list of domains", look)

    def find(self, instance_id: str) -> Seen | None:
        def look(connection: Connection) -> Seen | None:
            domain = _lookup(connection, instance_id)
            return _seen(domain) if domain is not None else None

        return self._connection.reading("a look at a domain", look)

    def definition(self, instance_id: str) -> str | None:
        """What it is started from the next time, secrets included."""

        def look(connection: Connection) -> str | None:
            domain = _lookup(connection, instance_id)
            return domain.XMLDesc(XML_SECURE | XML_INACTIVE) if domain is not None else None

        return self._connection.reading("a domain's definition", look)

    def define(self, xml: str) -> None:
        """Defined, and never started by libvirtd on its own account."""

        def define(connection: Connection) -> None:
            domain = connection.defineXML(xml)
            if domain.autostart():
                domain.setAutostart(0)

        self._connection.run("define", define)

    def mark(self, instance_id: str, epoch: int) -> None:
        """The domain carries this epoch, running or not, and is not started by libvirtd on its own account."""

        def mark(connection: Connection) -> None:
            domain = connection.lookupByUUIDString(instance_id)
            live = AFFECT_LIVE if domain.isActive() else 0
            kept = AFFECT_CONFIG if domain.isPersistent() else 0
            text = mark_text(instance_id, epoch, _mark(domain))
            domain.setMetadata(METADATA_ELEMENT, text, PREFIX, NAMESPACE, live | kept)
            if kept and domain.autostart():
                domain.setAutostart(0)

        self._connection.run("mark", mark)

    def create(self, instance_id: str, *, timeout: float, beat: Callable[[str], None] = no_beat) -> None:
        """Running, or starting: created here or meanwhile by somebody else. Raises libvirt's errors."""

        def create(connection: Connection) -> None:
            domain = connection.lookupByUUIDString(instance_id)
            try:
                domain.create()
            except Exception:
                if not domain.isActive():
                    raise

        self._connection.run("create", create, timeout=timeout, beat=beat)

    def destroy(self, instance_id: str) -> None:
        """Sent, and taken note of: not running is as good. Look afterwards."""

        def destroy(connection: Connection) -> None:
            domain = _lookup(connection, instance_id)
            if domain is not None and domain.isActive():
                _unless(domain.destroy, Code.OPERATION_INVALID, Code.NO_DOMAIN)

        self._connection.run("destroy", destroy)

    def undefine(self, instance_id: str) -> None:
        """No definition is left. The guest's disks, firmware variables and TPM state are."""

        def undefine(connection: Connection) -> None:
            domain = _lookup(connection, instance_id)
            if domain is not None and domain.isPersistent():
                _unless(lambda: _undefine(connection, domain), Code.NO_DOMAIN)

        self._connection.run("undefine", undefine)

    def suspend(self, instance_id: str) -> None:
        self._connection.run("suspend", lambda connection: connection.lookupByUUIDString(instance_id).suspend())

    def resume(self, instance_id: str) -> None:
        self._connection.run("resume", lambda connection: connection.lookupByUUIDString(instance_id).resume())


def _lookup(connection: Connection, instance_id: str) -> Domain | None:
    try:
        return connection.lookupByUUIDString(instance_id)
    except Exception as error:
        if code_of(error) == Code.NO_DOMAIN:
            return None
        raise


def _seen(domain: Domain) -> Seen | None:
    """None: it went away between two looks."""
    try:
        state, reason = domain.state()
        active = bool(domain.isActive())
        starting = (state, reason) == (State.PAUSED, PAUSED_STARTING_UP)
        return Seen(
            instance_id=domain.UUIDString(),
            name=domain.name(),
            epoch=_epoch(domain),
            active=active,
            paused=active and state in (State.PAUSED, State.PMSUSPENDED) and not starting,
            starting=starting,
            persistent=bool(domain.isPersistent()),
        )
    except Exception as error:
        if code_of(error) == Code.NO_DOMAIN:
            return None
        raise


def _epoch(domain: Domain) -> int:
    """Of what runs, if it runs."""
    mark = _mark(domain)
    return epoch_in(mark) if mark is not None else UNMARKED


def _mark(domain: Domain) -> str | None:
    try:
        return domain.metadata(METADATA_ELEMENT, NAMESPACE)
    except Exception as error:
        if code_of(error) == Code.NO_DOMAIN_METADATA:
            return None
        raise


def _undefine(connection: Connection, domain: Domain) -> None:
    """A driver that has no such things to keep does not know the flags."""
    flags = Undefine.MANAGED_SAVE | Undefine.SNAPSHOTS_METADATA | Undefine.KEEP_NVRAM | Undefine.CHECKPOINTS_METADATA
    if connection.getLibVersion() >= KEEP_TPM_SINCE:
        flags |= Undefine.KEEP_TPM
    try:
        domain.undefineFlags(int(flags))
    except Exception as error:
        if code_of(error) != Code.INVALID_ARG:
            raise
        domain.undefineFlags(0)


def _unless(do: Callable[[], object], *fine: Code) -> None:
    """An error that says that nothing was left to do is none."""
    try:
        do()
    except Exception as error:
        if code_of(error) not in fine:
            raise
