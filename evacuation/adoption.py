"""A fleet that runs already, as it was found: what of it is taken into the store, and what became of that."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from evacuation.capabilities import HostCapabilities
from evacuation.errors import DuplicateInstanceError, MalformedDefinitionError, NotAdoptableError
from evacuation.messages import StoredDefinition
from evacuation.model import Flavor, Frozen, PowerState, RootDisk, VmState
from evacuation.names import as_id, is_name
from evacuation.sizes import require_small

ANY_ADDRESS = "0.0.0.0/0"
"""Of a network whose addresses somebody else gives."""


class AdoptedPort(Frozen):
    mac: str
    network: str


class AdoptedInstance(Frozen):
    """`epoch` is that of the guest's mark, or 1. Its disks are no host's own, so its flavor needs none."""

    id: str
    name: str
    epoch: int
    flavor: Flavor
    vm_state: VmState
    power_state: PowerState
    root_disk: RootDisk
    stored: StoredDefinition
    ports: tuple[AdoptedPort, ...] = ()


class AdoptedHost(Frozen):
    """None: as it is in the store, or the default."""

    name: str
    vcpus: int
    memory_mb: int
    availability_zone: str | None = None
    cpu_allocation_ratio: float | None = None
    ram_allocation_ratio: float | None = None
    capabilities: HostCapabilities
    instances: tuple[AdoptedInstance, ...] = ()


class Adopted(Frozen):
    """One line of the answer."""

    kind: Literal["host", "instance"]
    name: str
    host: str
    change: Literal["added", "updated", "unchanged", "left"]
    note: str = ""


def require_adoptable(hosts: Sequence[AdoptedHost]) -> None:
    """Nothing is twice, and everything has a name that the store takes. Raises NotAdoptableError,
    DuplicateInstanceError."""
    _require_once(((host.name, host.name) for host in hosts), "host", "name each: --name NAME=URI")
    for host in hosts:
        _require_names(host)
        _require_sizes(host)
    every = [(each, host.name) for host in hosts for each in host.instances]
    remedy = "undefine the copy that you do not keep, or leave it out: --skip"
    _require_once(((each.id, f"{each.name} on {host}") for each, host in every), "uuid", remedy)
    remedy = "rename one of them (virsh domrename), or leave it out: --skip"
    _require_once(((each.name, f"{each.name} on {host}") for each, host in every), "name", remedy)
    macs = ((port.mac, f"{each.name} on {host}") for each, host in every for port in each.ports)
    _require_once(macs, "MAC address", "give one of the interfaces another one")


def _require_names(host: AdoptedHost) -> None:
    if not is_name(host.name):
        raise NotAdoptableError(f"{host.name!r} is not a host's name", remedy="give it one: --name NAME=URI")
    for name in (host.name, *(each.name for each in host.instances)):
        if as_id(name) is not None:
            raise NotAdoptableError(
                f"{name} on {host.name} is a name in the form of a uuid, and would be taken for an id",
                remedy="rename it (virsh domrename), or leave it out: --skip",
            )
    for name in _bad_names(host):
        raise NotAdoptableError(
            f"{name!r} on {host.name} is not a name here",
            remedy="letters, digits, dot, dash and underscore, at most 63; rename it (virsh domrename), or --skip it",
        )


def _require_sizes(host: AdoptedHost) -> None:
    for each in host.instances:
        try:
            require_small(each.stored.definition)
        except MalformedDefinitionError as error:
            raise not_adoptable(f"{each.name} on {host.name}", error) from error


def not_adoptable(name: str, error: MalformedDefinitionError) -> NotAdoptableError:
    """One line that names the guest."""
    remedy = f"{error.remedy}, or leave it out: --skip" if error.remedy else "mend it, or leave it out: --skip"
    return NotAdoptableError(f"domain {name} cannot be adopted: {error.message}", remedy=remedy)


def _bad_names(host: AdoptedHost) -> Iterator[str]:
    for each in host.instances:
        yield from (name for name in (each.name, *(port.network for port in each.ports)) if not is_name(name))


def _require_once(found: Iterable[tuple[str, str]], what: str, remedy: str) -> None:
    first: dict[str, str] = {}
    for key, owner in found:
        if key in first:
            raise DuplicateInstanceError(f"the same {what} {key} twice: {first[key]}, and {owner}", remedy=remedy)
        first[key] = owner
