"""I3, I5 and I8: nothing is silently stuck, nothing is above its cap, and what has started goes forward."""

from collections import Counter
from collections.abc import Iterator

from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.seen import SeenInstance
from evacuation.invariants.world import World
from evacuation.messages import AttemptPhase
from evacuation.model import PowerState, TaskState, VmState
from evacuation.transitions import REBUILDING

POWERING = {TaskState.POWERING_ON.value: "start", TaskState.POWERING_OFF.value: "stop"}


def task_unowned(world: World) -> Iterator[Case]:
    for row in world.rows.instances:
        if row.task_state in REBUILDING and row.id not in world.in_flight:
            yield case(row.name, task=row.task_state)


def evacuation_unowned(world: World) -> Iterator[Case]:
    """Of one whose guest has started, `start_unowned` speaks."""
    running = world.running_workflows
    for row in world.in_flight.values():
        if running is not None and row.instance_id not in running and not world.has_started(row):
            yield case(row.instance, attempt=row.attempt, phase=row.phase)


def start_unowned(world: World) -> Iterator[Case]:
    running = world.running_workflows
    for row in world.in_flight.values():
        if running is not None and row.instance_id not in running and world.has_started(row):
            yield case(row.instance, host=row.destination)


def deletion_unowned(world: World) -> Iterator[Case]:
    running = world.running_workflows
    for row in world.at_rest.values():
        if running is not None and row.task_state == TaskState.DELETING and row.id not in running:
            yield case(row.name)


def power_task_unowned(world: World) -> Iterator[Case]:
    """A start or stop, of this program or another, that was left in the middle on a host in service."""
    running = world.running_workflows
    for row in world.at_rest.values():
        verb = POWERING.get(row.task_state or "")
        if verb and running is not None and row.id not in running and world.is_in_service(row.host):
            yield case(row.name, task=row.task_state, verb=verb)


def deleted_runs(world: World) -> Iterator[Case]:
    """One that its host could not be told to destroy is destroyed when the host is heard from again."""
    for guest in world.guests:
        row = world.instances.get(guest.instance_id)
        if row is not None and row.vm_state == VmState.DELETED and guest.writes and world.is_in_service(guest.host):
            yield case(row.name, guest.host, host=guest.host, known_by=guest.known_by)


def ended_unsaid(world: World) -> Iterator[Case]:
    for row in world.rows.evacuations:
        said = row.ended is not None and (row.ended != "not_recovered" or row.has_reason)
        if not row.open and not said:
            yield case(row.instance, row.id)


def error_without_fault(world: World) -> Iterator[Case]:
    """A fleet may be loaded with instances in error: nobody here knows why they are."""
    for row in world.at_rest.values():
        if row.vm_state == VmState.ERROR and not row.has_fault and row.name not in world.rows.loaded_in_error:
            yield case(row.name)


def error_without_way_back(world: World) -> Iterator[Case]:
    for row in world.at_rest.values():
        last = world.last.get(row.id)
        if row.vm_state == VmState.ERROR and row.has_fault and last is not None and row.wanted_vm_state != last.wanted:
            yield case(row.name, wanted=last.wanted, found=row.wanted_vm_state or "nothing")


def runs_otherwise(world: World) -> Iterator[Case]:
    for row in world.at_rest.values():
        if row.task_state is None and world.is_in_service(row.host) and (wrong := _differs(world, row)):
            yield case(row.name, found=wrong, verb="stop" if row.vm_state == VmState.STOPPED else "start")


def _differs(world: World, row: SeenInstance) -> str | None:
    """What runs elsewhere has a rule of its own: to start it here would make a second copy."""
    guests = world.guests_of.get(row.id, [])
    here = [guest for guest in guests if guest.host == row.host]
    if any(guest.writes and guest.host != row.host for guest in guests):
        return None
    if row.vm_state == VmState.ACTIVE and not here:
        return f"it is active on {row.host}, and nothing of it runs there"
    if row.vm_state == VmState.ACTIVE and not any(guest.writes for guest in here):
        return f"it is active on {row.host}, and its guest there is {_halted(here[0].state or 'paused')}"
    if row.vm_state == VmState.STOPPED and any(guest.writes for guest in here):
        return f"it is stopped, and its guest runs on {row.host}"
    return None


def _halted(state: str) -> str:
    """Not all that a start puts right should be started."""
    if state == "paused by an I/O error":
        return f"{state} (once its storage is mended, virsh resume there keeps its memory, which a start throws away)"
    return state


POWER = {VmState.ACTIVE: PowerState.RUNNING, VmState.STOPPED: PowerState.SHUTDOWN}


def power_otherwise(world: World) -> Iterator[Case]:
    for row in world.in_place:
        if row.power_state != POWER[VmState(row.vm_state)]:
            yield case(row.name, vm_state=f"{row.vm_state} on {row.host}", power=row.power_state)
    for row in world.rows.instances:
        if row.vm_state == VmState.DELETED and row.power_state != PowerState.NOSTATE:
            yield case(row.name, vm_state="deleted", power=row.power_state)


def over_cap(world: World) -> Iterator[Case]:
    starting = Counter(
        row.destination for row in world.in_flight.values() if row.phase == AttemptPhase.AUTHORIZED and row.destination
    )
    for name, number in starting.items():
        host = world.hosts.get(name)
        if host is not None and number > host.max_evacuations:
            yield case(name, number=number, cap=host.max_evacuations)


ASK_AGAIN = "ask again: evacuate instance evacuate {subject}"

RULES: tuple[Rule, ...] = (
    Rule("task-unowned", "I3", task_unowned, "task_state is {task}, and no evacuation is open", ASK_AGAIN),
    Rule(
        "evacuation-unowned",
        "I3",
        evacuation_unowned,
        "its evacuation is open (attempt {attempt}, {phase}), and no workflow runs it",
        "ask again, what is open is adopted: evacuate instance evacuate {subject}",
    ),
    Rule(
        "deletion-unowned",
        "I3",
        deletion_unowned,
        "its deletion was begun, and no workflow carries it out",
        "ask again: evacuate instance delete {subject}",
    ),
    Rule(
        "power-task-unowned",
        "I3",
        power_task_unowned,
        "its task_state is {task}, and no workflow carries it out",
        "ask again: evacuate instance {verb} {subject}",
    ),
    Rule(
        "deleted-runs",
        "I3",
        deleted_runs,
        "it is deleted, and its guest runs on {host} {known_by}",
        "ask again: evacuate instance delete {subject}; or start the worker of {host} again",
    ),
    Rule(
        "ended-unsaid",
        "I3",
        ended_unsaid,
        "its evacuation {about} has ended, and nothing says how",
        "see where it is now: evacuate instance show {subject}",
    ),
    Rule("error-without-fault", "I3", error_without_fault, "it is in error, and nothing says why", ASK_AGAIN),
    Rule(
        "error-without-way-back",
        "I3",
        error_without_way_back,
        "it is in error, it was to be {wanted}, and what is recorded for its way back is {found}",
        ASK_AGAIN,
    ),
    Rule(
        "runs-otherwise",
        "I3",
        runs_otherwise,
        "{found}",
        "evacuate instance {verb} {subject}",
    ),
    Rule("power-otherwise", "I4", power_otherwise, "it is {vm_state}, and its power_state is {power}"),
    Rule(
        "over-cap",
        "I5",
        over_cap,
        "{number} evacuations are in flight to it, and its cap is {cap}",
        "let them finish before the next one is asked for",
    ),
    Rule(
        "start-unowned",
        "I8",
        start_unowned,
        "its guest has started on {host}, and no workflow takes it forward",
        "ask again, it is taken forward: evacuate instance evacuate {subject}",
    ),
)
