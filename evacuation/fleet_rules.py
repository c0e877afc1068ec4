"""What no single entry of a fleet shows: duplicates, dangling references, and more guests than there is room for."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from evacuation.model import Frozen
from evacuation.names import as_id

if TYPE_CHECKING:
    from evacuation.fleet import Fleet, FleetHost, FleetInstance

RESERVED_ADDRESSES = 3
"""Of every network: its own address, the gateway (the first one) and the broadcast address (the last one)."""

NAMED = ("hosts", "networks", "volumes", "server_groups", "instances")
Path = tuple[int | str, ...]


class Problem(Frozen):
    """What is wrong with the value at `path`."""

    path: Path
    message: str

    @property
    def location(self) -> str:
        """The path as a person writes it: `instances[3].ports[0].network`."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(steps).removeprefix(".")


def find_problems(fleet: Fleet) -> Iterator[Problem]:
    for rule in RULES:
        yield from rule(fleet)


def names_like_ids(fleet: Fleet) -> Iterator[Problem]:
    """Names that would be taken for ids. They are refused where they are new: a store that has one goes on with it."""
    for key in NAMED:
        for index, part in enumerate(getattr(fleet, key)):
            if as_id(part.name) is not None:
                message = f'"{part.name}" has the form of a uuid, and would be taken for an id'
                yield Problem(path=(key, index, "name"), message=message)


def _duplicate_names(fleet: Fleet) -> Iterator[Problem]:
    for key in NAMED:
        first: dict[str, int] = {}
        for index, part in enumerate(getattr(fleet, key)):
            if first.setdefault(part.name, index) != index:
                message = f'duplicate name "{part.name}": {key}[{first[part.name]}] has it'
                yield Problem(path=(key, index, "name"), message=message)


def _dangling_references(fleet: Fleet) -> Iterator[Problem]:
    known = {
        "host": [host.name for host in fleet.hosts],
        "network": [network.name for network in fleet.networks],
        "volume": [volume.name for volume in fleet.volumes],
        "server group": [group.name for group in fleet.server_groups],
    }
    names = {kind: frozenset(each) for kind, each in known.items()}
    for index, instance in enumerate(fleet.instances):
        for kind, name, path in _references(instance):
            if name not in names[kind]:
                yield Problem(path=("instances", index, *path), message=_unknown(kind, name, known[kind]))


def _references(instance: FleetInstance) -> Iterator[tuple[str, str, Path]]:
    yield "host", instance.host, ("host",)
    for index, port in enumerate(instance.ports):
        yield "network", port.network, ("ports", index, "network")
    for index, volume in enumerate(instance.volumes):
        yield "volume", volume, ("volumes", index)
    if instance.server_group is not None:
        yield "server group", instance.server_group, ("server_group",)


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    listed = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return f'unknown {kind} "{name}"; known: {listed or "none"}'


def _shared_volumes(fleet: Fleet) -> Iterator[Problem]:
    holders: dict[str, str] = {}
    for index, instance in enumerate(fleet.instances):
        for position, volume in enumerate(instance.volumes):
            if volume in holders:
                message = f'volume "{volume}" is attached to {holders[volume]} already'
                yield Problem(path=("instances", index, "volumes", position), message=message)
            holders.setdefault(volume, instance.name)


def _overfull_hosts(fleet: Fleet) -> Iterator[Problem]:
    guests: dict[str, list[FleetInstance]] = {}
    for instance in fleet.instances:
        guests.setdefault(instance.host, []).append(instance)
    for index, host in enumerate(fleet.hosts):
        for resource, total, used in _room(host, guests.get(host.name, [])):
            if used > total:
                message = f"{host.name} has {total} {resource} with its allocation ratio, its guests need {used}"
                yield Problem(path=("hosts", index, resource), message=message)


def _room(host: FleetHost, guests: Sequence[FleetInstance]) -> Iterator[tuple[str, int, int]]:
    taken = [each.on_host for each in guests]
    yield "vcpus", int(host.vcpus * host.cpu_allocation_ratio), sum(each.vcpus for each in taken)
    yield "memory_mb", int(host.memory_mb * host.ram_allocation_ratio), sum(each.memory_mb for each in taken)
    yield "disk_gb", int(host.disk_gb * host.disk_allocation_ratio), sum(each.disk_gb for each in taken)


def _narrow_networks(fleet: Fleet) -> Iterator[Problem]:
    ports = Counter(port.network for instance in fleet.instances for port in instance.ports)
    for index, network in enumerate(fleet.networks):
        room = max(ipaddress.ip_network(network.cidr).num_addresses - RESERVED_ADDRESSES, 0)
        if ports[network.name] > room:
            message = f"{network.cidr} has {room} addresses for guests, {ports[network.name]} ports need one each"
            yield Problem(path=("networks", index, "cidr"), message=message)


RULES: tuple[Callable[[Fleet], Iterator[Problem]], ...] = (
    _duplicate_names,
    _dangling_references,
    _shared_volumes,
    _overfull_hosts,
    _narrow_networks,
)
