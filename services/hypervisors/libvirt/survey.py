"""A host with its domains as they are found over libvirt. Only reads."""

from collections.abc import Iterable
from pathlib import Path

from evacuation.adoption import AdoptedHost, AdoptedInstance, AdoptedPort
from evacuation.capabilities import HostCapabilities, SharedDirectory
from evacuation.errors import HypervisorUnavailableError, MalformedDefinitionError, NotAdoptableError
from evacuation.messages import StoredDefinition
from evacuation.model import Flavor, Frozen, PowerState, RootDisk, VmState
from services.hypervisors.libvirt.api import XML_INACTIVE, Code, Connection, Domain, State
from services.hypervisors.libvirt.capabilities import as_host, capabilities_of
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.definition import Definition, parse_definition
from services.hypervisors.libvirt.failures import code_of, one_line
from services.hypervisors.libvirt.obstacles import local_disks

VM_STATES = {
    State.RUNNING: VmState.ACTIVE,
    State.BLOCKED: VmState.ACTIVE,
    State.SHUTDOWN: VmState.ACTIVE,
    State.PAUSED: VmState.PAUSED,
    State.PMSUSPENDED: VmState.SUSPENDED,
    State.SHUTOFF: VmState.STOPPED,
    State.CRASHED: VmState.STOPPED,
}
"""A guest that is shutting down is not down yet."""


class FoundDomain(Frozen):
    """`text` is what it is started from the next time, without secrets."""

    text: str
    state: int


class Survey(Frozen):
    uri: str
    hostname: str
    vcpus: int
    memory_mb: int
    capabilities: HostCapabilities
    domains: tuple[FoundDomain, ...]


def survey(uri: str, *, timeout: float, kind: str = "kvm") -> Survey:
    """Raises NotAdoptableError, HypervisorUnableError, HypervisorUnavailableError."""
    connection = LibvirtConnection(uri, uri, timeout=timeout)
    try:
        return connection.reading("the survey of a host", lambda opened: _survey(opened, uri, kind))
    except Exception as error:
        if code_of(error) is None:
            raise
        raise HypervisorUnavailableError(
            f"{uri} cannot be read: {one_line(error)}", remedy="see whether libvirtd runs there and answers"
        ) from error


def _survey(connection: Connection, uri: str, kind: str) -> Survey:
    host = as_host(connection)
    info = host.getInfo()
    return Survey(
        uri=uri,
        hostname=host.getHostname(),
        memory_mb=int(info[1]),
        vcpus=int(info[2]),
        capabilities=capabilities_of(connection, kind),
        domains=tuple(found for each in host.listAllDomains() if (found := _found(each)) is not None),
    )


def _found(domain: Domain) -> FoundDomain | None:
    try:
        return FoundDomain(text=domain.XMLDesc(XML_INACTIVE), state=domain.state()[0])
    except Exception as error:
        if code_of(error) == Code.NO_DOMAIN:
            return None
        raise


def adopted_host(
    found: Survey,
    *,
    name: str | None,
    shared: tuple[SharedDirectory, ...] = (),
    shared_dirs: tuple[Path, ...] = (),
    skip: Iterable[str] = (),
    availability_zone: str | None = None,
    cpu_allocation_ratio: float | None = None,
    ram_allocation_ratio: float | None = None,
) -> AdoptedHost:
    """`shared_dirs` is what the operator says; `shared` those of them whose marker could be read. Raises
    NotAdoptableError."""
    left_out = set(skip)
    instances = (_instance(each, found.uri, shared_dirs) for each in found.domains)
    kept = [each for each in instances if not {each.name, each.id} & left_out]
    return AdoptedHost(
        name=name or found.hostname,
        vcpus=found.vcpus,
        memory_mb=found.memory_mb,
        availability_zone=availability_zone,
        cpu_allocation_ratio=cpu_allocation_ratio,
        ram_allocation_ratio=ram_allocation_ratio,
        capabilities=found.capabilities.model_copy(update={"shared": shared}),
        instances=tuple(sorted(kept, key=lambda each: each.name)),
    )


def stored_of(text: str) -> StoredDefinition:
    """Raises MalformedDefinitionError."""
    return StoredDefinition(definition=text, signal=parse_definition(text).signal)


def _instance(domain: FoundDomain, uri: str, shared_dirs: tuple[Path, ...]) -> AdoptedInstance:
    try:
        definition = parse_definition(domain.text)
    except MalformedDefinitionError as error:
        raise NotAdoptableError(f"a domain at {uri} is not understood: {error.line}") from error
    state = VM_STATES.get(State(domain.state), VmState.ACTIVE)
    return AdoptedInstance(
        id=definition.id,
        name=definition.name,
        epoch=max(1, definition.epoch),
        flavor=Flavor(vcpus=definition.vcpus, memory_mb=definition.memory_mb, disk_gb=0),
        vm_state=state,
        power_state=PowerState.SHUTDOWN if state is VmState.STOPPED else PowerState.RUNNING,
        root_disk=root_disk_of(definition, shared_dirs),
        stored=StoredDefinition(definition=domain.text, signal=definition.signal),
        ports=tuple(AdoptedPort(mac=each.mac, network=each.network_name) for each in definition.interfaces if each.mac),
    )


def root_disk_of(definition: Definition, shared_dirs: tuple[Path, ...]) -> RootDisk:
    """local as soon as any of its disks is: without that one the guest is not the same. Drives do not count."""
    local = local_disks(definition, tuple(str(each) for each in shared_dirs))
    return RootDisk.LOCAL if any(each.device in ("disk", "lun") for each in local) else RootDisk.SHARED
