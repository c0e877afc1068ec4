"""I4: ports are bound where their instance is, with an address of their network; groups are as their policy says."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterator

from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.seen import SeenInstance
from evacuation.invariants.world import World
from evacuation.model import GroupPolicy, PortStatus


def bound_elsewhere(world: World) -> Iterator[Case]:
    for port in world.rows.ports:
        instance = world.at_rest.get(port.instance_id)
        if instance is not None and port.host != instance.host:
            bound = f"bound to {port.host}" if port.host else "not bound"
            yield case(instance.name, port.ip or port.mac, host=instance.host, bound=bound)


def bound_otherwise(world: World) -> Iterator[Case]:
    for port in world.rows.ports:
        instance = world.at_rest.get(port.instance_id)
        if instance is not None and port.host is not None and port.status != PortStatus.ACTIVE:
            yield case(instance.name, port.ip or port.mac, status=port.status)


def binding_left(world: World) -> Iterator[Case]:
    for binding in world.rows.inactive_bindings:
        instance = world.at_rest.get(binding.instance_id)
        if instance is not None:
            yield case(instance.name, binding.port_id, host=instance.host, left=binding.host)


def address_elsewhere(world: World) -> Iterator[Case]:
    for port in world.rows.ports:
        cidr = world.rows.networks.get(port.network)
        if port.ip is not None and cidr is not None and not _is_within(port.ip, cidr):
            yield case(world.name(port.instance_id), port.ip, network=port.network, cidr=cidr)


def _is_within(address: str, cidr: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    except ValueError:
        return False


def policy_broken(world: World) -> Iterator[Case]:
    """Judged of members that are at rest on hosts that are up: one on a dead host binds nobody until it is back. A
    fleet may be loaded with a policy that does not hold."""
    members = defaultdict[str, list[SeenInstance]](list)
    for row in world.at_rest.values():
        if row.server_group is not None and world.is_up(row.host):
            members[row.server_group].append(row)
    for group, rows in members.items():
        wrong = _wrong(rows, world.rows.groups.get(group))
        if not all(_as_loaded(world, row) for row in wrong):
            where = ", ".join(f"{row.name} on {row.host}" for row in wrong)
            yield case(group, policy=world.rows.groups.get(group), where=where)


def _wrong(rows: list[SeenInstance], policy: str | None) -> list[SeenInstance]:
    """The members of a group because of whom its policy does not hold."""
    on = Counter(row.host for row in rows)
    if policy == GroupPolicy.ANTI_AFFINITY:
        return [row for row in rows if on[row.host] > 1]
    return rows if policy == GroupPolicy.AFFINITY and len(on) > 1 else []


def _as_loaded(world: World, row: SeenInstance) -> bool:
    now = (row.host, row.server_group, world.rows.groups.get(row.server_group or ""))
    return world.rows.loaded_members.get(row.name) == now


RULES: tuple[Rule, ...] = (
    Rule("bound-elsewhere", "I4", bound_elsewhere, "it lives on {host}, and its port {about} is {bound}"),
    Rule("bound-otherwise", "I4", bound_otherwise, "its port {about} is {status}, and no evacuation is in flight"),
    Rule("binding-left", "I4", binding_left, "it lives on {host}, and a binding of its port {about} on {left} is left"),
    Rule("address-elsewhere", "I4", address_elsewhere, "its address {about} is none of network {network} ({cidr})"),
    Rule(
        "policy-broken",
        "I4",
        policy_broken,
        "its policy is {policy}, and its members are {where}",
        "move members until it holds, or change the policy",
    ),
)
