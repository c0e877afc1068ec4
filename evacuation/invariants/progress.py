"""I3, I5 and I8: nothing is silently stuck, nothing is above its cap, and what has started goes forward."""

from collections import Counter
from collections.abc import Iterator

from evacuation.invariants.breach import Breach, Rule
from evacuation.invariants.world import World
from evacuation.messages import AttemptPhase
from evacuation.model import HostState, TaskState, VmState
from evacuation.transitions import REBUILDING
from evacuation.views import InstanceView


def owned_task(world: World) -> Iterator[Breach]:
    for row in world.rows.instances:
        if row.task_state in REBUILDING and row.id not in world.in_flight:
            yield Breach(
                invariant="I3",
                subject=row.name,
                message=f"task_state is {row.task_state}, and no evacuation is open",
                remedy=f"ask again: evacuate instance evacuate {row.name}",
            )


def owned_evacuation(world: World) -> Iterator[Breach]:
    """Of one whose guest has started, `goes_forward` speaks."""
    running = world.running_workflows
    for row in world.in_flight.values():
        if running is not None and row.instance_id not in running and not world.has_started(row):
            yield Breach(
                invariant="I3",
                subject=row.instance,
                message=f"its evacuation is open (attempt {row.attempt}, {row.phase}), and no workflow runs it",
                remedy=f"ask again, what is open is adopted: evacuate instance evacuate {row.instance}",
            )


def owned_deletion(world: World) -> Iterator[Breach]:
    running = world.running_workflows
    for row in world.at_rest.values():
        if running is not None and row.task_state == TaskState.DELETING and row.id not in running:
            yield Breach(
                invariant="I3",
                subject=row.name,
                message="its deletion was begun, and no workflow carries it out",
                remedy=f"ask again: evacuate instance delete {row.name}",
            )


def deleted_is_gone(world: World) -> Iterator[Breach]:
    """One that its host could not be told to destroy is destroyed when the host is heard from again."""
    for guest in world.guests:
        row = world.instances.get(guest.instance_id)
        if row is not None and row.vm_state == VmState.DELETED and guest.writes and _in_service(world, guest.host):
            yield Breach(
                invariant="I3",
                subject=row.name,
                message=f"it is deleted, and its guest runs on {guest.host} (epoch {guest.epoch}, pid {guest.pid})",
                remedy=f"ask again: evacuate instance delete {row.name}; or start the worker of {guest.host} again",
            )


def ended_with_a_reason(world: World) -> Iterator[Breach]:
    for row in world.rows.evacuations:
        said = row.outcome is not None and (row.outcome.outcome != "not_recovered" or row.outcome.reason)
        if not row.open and not said:
            yield Breach(
                invariant="I3",
                subject=row.instance,
                message=f"its evacuation {row.id} has ended, and nothing says how",
                remedy=f"see where it is now: evacuate instance show {row.instance}",
            )


def runs_as_recorded(world: World) -> Iterator[Breach]:
    for row in world.at_rest.values():
        if row.task_state is None and _in_service(world, row.host) and (wrong := _differs(world, row)):
            yield Breach(
                invariant="I3",
                subject=row.name,
                message=wrong,
                remedy=f"boot {row.host} again: its return starts what belongs there, and nothing else",
            )


def _in_service(world: World, host: str | None) -> bool:
    """On, and up in that very boot: what was recorded of the last one says nothing about a host that boots."""
    return any(
        (row.name, row.state) == (host, HostState.UP) and row.incarnation == world.boots.get(row.name)
        for row in world.rows.hosts
        if row.incarnation is not None
    )


def _differs(world: World, row: InstanceView) -> str | None:
    here = [guest for guest in world.guests_of.get(row.id, []) if guest.host == row.host]
    if row.vm_state == VmState.ACTIVE and not here:
        return f"it is active on {row.host}, and nothing of it runs there"
    if row.vm_state == VmState.ACTIVE and not any(guest.writes for guest in here):
        return f"it is active on {row.host}, and its guest there is paused"
    if row.vm_state == VmState.STOPPED and any(guest.writes for guest in here):
        return f"it is stopped, and its guest runs on {row.host}"
    return None


def capped(world: World) -> Iterator[Breach]:
    starting = Counter(
        row.destination for row in world.in_flight.values() if row.phase == AttemptPhase.AUTHORIZED and row.destination
    )
    for host, number in starting.items():
        if number > world.rows.caps.get(host, number):
            yield Breach(
                invariant="I5",
                subject=host,
                message=f"{number} evacuations are in flight to it, and its cap is {world.rows.caps[host]}",
                remedy="let them finish before the next one is asked for",
            )


def goes_forward(world: World) -> Iterator[Breach]:
    running = world.running_workflows
    for row in world.in_flight.values():
        if running is not None and row.instance_id not in running and world.has_started(row):
            yield Breach(
                invariant="I8",
                subject=row.instance,
                message=f"its guest has started on {row.destination}, and no workflow takes it forward",
                remedy=f"ask again, it is taken forward: evacuate instance evacuate {row.instance}",
            )


RULES: tuple[Rule, ...] = (
    owned_task,
    owned_evacuation,
    owned_deletion,
    deleted_is_gone,
    ended_with_a_reason,
    runs_as_recorded,
    capped,
    goes_forward,
)
