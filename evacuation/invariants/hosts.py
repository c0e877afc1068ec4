"""What the store says of a host, against the evidence (I2), and against the host itself (I3)."""

from collections.abc import Iterator

from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.world import World
from evacuation.model import HostState


def fenced_and_up(world: World) -> Iterator[Case]:
    for host in world.rows.hosts:
        if host.fenced and host.state == HostState.UP:
            yield case(host.name, boot=host.incarnation)


def down_without_reason(world: World) -> Iterator[Case]:
    """Down are those that never came, those that are off, are being cut, or are on their way back."""
    held = {row.source for row in world.in_flight.values()} | world.rows.being_cut
    for host in world.rows.hosts:
        runs = host.incarnation is not None and world.boots.get(host.name) == host.incarnation
        if host.state != HostState.DOWN or host.fenced or not runs or host.name in held:
            continue
        if world.returning is not None and host.name not in world.returning:
            yield case(host.name, boot=host.incarnation)


def another_hypervisor(world: World) -> Iterator[Case]:
    for host in world.rows.hosts:
        found = world.identities.get(host.name)
        if None not in (found, host.hypervisor_uuid) and found != host.hypervisor_uuid:
            yield case(host.name, known=host.hypervisor_uuid, found=found)


def gone_and_seen(world: World) -> Iterator[Case]:
    for host in world.rows.hosts:
        for boot in host.gone_and_seen:
            yield case(host.name, boot, boot=boot)


RULES: tuple[Rule, ...] = (
    Rule(
        "fenced-and-up",
        "I2",
        fenced_and_up,
        "its boot {boot} is fenced by current evidence, and it is recorded as up: guests may be sent there",
        "disable it, and start its host worker again: evacuate host disable {subject}",
    ),
    Rule(
        "down-without-reason",
        "I3",
        down_without_reason,
        "it is down, it runs in boot {boot}, nothing says that it is off, and nothing brings it back",
        "start its host worker again",
    ),
    Rule(
        "another-hypervisor",
        "I3",
        another_hypervisor,
        "the store knows it as hypervisor {known}, and {found} answers in its place: every call to it is refused",
        "start the worker on the right machine, or under the right host name; "
        "if it is its new board: evacuate host accept {subject}",
    ),
    Rule(
        "gone-and-seen",
        "I2",
        gone_and_seen,
        "the board that ran boot {boot} of it was said to be gone, and was heard of since: its guests may run twice",
        'switch that board off, then say so: evacuate host accept {subject} --confirmed-gone "who saw it off, how"',
    ),
)
