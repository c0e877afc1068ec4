"""What of a surveyed host is taken into the store. Pure."""

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

from evacuation.adoption import AdoptedHost, AdoptedInstance, AdoptedPort, not_adoptable
from evacuation.capabilities import SharedDirectory
from evacuation.errors import MalformedDefinitionError, NotAdoptableError
from evacuation.model import Flavor, PowerState, RootDisk, VmState
from services.definitions.libvirt.definition import Definition, parse_definition
from services.definitions.libvirt.obstacles import local_disks
from services.hypervisors.libvirt.api import CRASHED, IO_ERROR, MIGRATING, state_word
from services.hypervisors.libvirt.capabilities import capabilities_of
from services.hypervisors.libvirt.survey import Survey, SurveyedDomain, stored_of


class State(IntEnum):
    """virDomainState, as far as it is not simply running."""

    PAUSED = 3
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


VM_STATES: dict[int, VmState] = {
    State.PAUSED: VmState.PAUSED,
    State.PMSUSPENDED: VmState.SUSPENDED,
    State.SHUTOFF: VmState.STOPPED,
    State.CRASHED: VmState.STOPPED,
}
"""Every other one is active: a guest that is shutting down is not down yet."""
WANTED: dict[str, VmState] = {IO_ERROR: VmState.ACTIVE, CRASHED: VmState.STOPPED}
"""Whatever libvirt's own number: nobody paused it."""


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
    kept = [each for each in found.domains if not {each.name, each.id} & left_out]
    return AdoptedHost(
        name=name or found.hostname,
        vcpus=found.vcpus,
        memory_mb=found.memory_mb,
        availability_zone=availability_zone,
        cpu_allocation_ratio=cpu_allocation_ratio,
        ram_allocation_ratio=ram_allocation_ratio,
        capabilities=capabilities_of(found).model_copy(update={"shared": shared}),
        instances=tuple(_instance(each, shared_dirs) for each in kept),
    )


def _instance(domain: SurveyedDomain, shared_dirs: tuple[Path, ...]) -> AdoptedInstance:
    try:
        stored = stored_of(domain)
        definition = parse_definition(stored.definition or "")
    except MalformedDefinitionError as error:
        raise not_adoptable(domain.name, error) from error
    state = _vm_state(domain)
    return AdoptedInstance(
        id=definition.id,
        name=definition.name,
        epoch=max(1, definition.epoch),
        flavor=Flavor(vcpus=definition.vcpus, memory_mb=definition.memory_mb, disk_gb=0),
        vm_state=state,
        power_state=PowerState.SHUTDOWN if state is VmState.STOPPED else PowerState.RUNNING,
        root_disk=root_disk_of(definition, shared_dirs),
        stored=stored,
        ports=tuple(AdoptedPort(mac=each.mac, network=each.network_name) for each in definition.interfaces if each.mac),
    )


def _vm_state(domain: SurveyedDomain) -> VmState:
    """What it is wanted to be. Raises NotAdoptableError: it is on its way from one host to another."""
    word = state_word(domain.state, domain.reason)
    if word == MIGRATING:
        raise NotAdoptableError(
            f"domain {domain.name} cannot be adopted: it is being migrated",
            remedy="wait until that is over (virsh domjobinfo), and adopt again; or leave it out: --skip",
        )
    return WANTED.get(word) or VM_STATES.get(domain.state, VmState.ACTIVE)


def root_disk_of(definition: Definition, shared_dirs: tuple[Path, ...]) -> RootDisk:
    """local as soon as any of its disks is: without that one the guest is not the same. Drives do not count."""
    local = local_disks(definition, tuple(str(each) for each in shared_dirs))
    return RootDisk.LOCAL if any(each.device in ("disk", "lun") for each in local) else RootDisk.SHARED
