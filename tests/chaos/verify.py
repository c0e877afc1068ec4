"""What must hold after a batch, from three independent sources: the store, the processes, the guests' disks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evacuation.invariants import World
from evacuation.messages import EvacuationOutcome
from evacuation.views import InstanceView
from services.hypervisors.process import ProcessRoot
from services.hypervisors.process.disk import breaches, read_journal, runs
from tests.chaos.plan import OBJECTS, UNDECIDED, Cell
from tests.chaos.world import SOURCE
from tests.support.stack import Stack

Reasons = dict[str, list[str]]
ANYBODY = "*"
"""A reason that no single instance is the subject of."""
STARTED = ("spawn_guest", "finish_evacuation")
"""Where a cancel may come too late."""


def expected(cell: Cell) -> frozenset[str]:
    """How the evacuation may end."""
    kind, step = cell.kind.name, cell.step
    if cell.route == "deleted":
        return frozenset({"deleted"})
    if kind == "cancelled":
        late = {"recovered"} if step in STARTED else {"not_recovered"} if cell.route == "ending" else set[str]()
        return frozenset({"cancelled", *late})
    if kind in ("terminated", "reset") and step == "finish_evacuation":
        # The last word of the run before may still be heard: then the next one finds an instance on a host that is up.
        return frozenset({"recovered", "refused"})
    if kind == "refuse" and step in UNDECIDED:
        return frozenset({"refused", "not_recovered"})
    if kind == "object-gone" and step != "finish_evacuation":
        return frozenset({"not_recovered"} if OBJECTS[step] == "disk" else {"recovered", "not_recovered"})
    if cell.kind.false_word or kind == "returns-before-begin":
        return frozenset({"refused", "not_recovered"})
    if kind == "source-returns" and step in UNDECIDED:
        # Nothing holds the source yet: its guests may be up again before the evacuation begins.
        return frozenset({"refused", "not_recovered", "recovered"})
    return frozenset({"not_recovered" if cell.route == "ending" else "recovered"})


def outcomes_as_expected(
    cells: Sequence[Cell], ends: Mapping[str, str], outcomes: Mapping[str, EvacuationOutcome | None]
) -> Reasons:
    """`ends`: what `how_it_ended` says of each; `outcomes` have the reasons."""
    found: Reasons = defaultdict(list)
    for cell in cells:
        end, outcome = ends.get(cell.instance, "never ended"), outcomes.get(cell.instance)
        if end not in expected(cell):
            why = f" ({outcome.error_type}: {outcome.reason})" if outcome and outcome.error_type else ""
            found[cell.instance].append(f"it ended {end}{why}, not {' or '.join(sorted(expected(cell)))}")
    return found


def undone_starts(stack: Stack, cells: Sequence[Cell], ids: Mapping[str, str]) -> Reasons:
    """I8: what had started before the last step was struck is not started a second time."""
    root, found = ProcessRoot(Path(stack.environment["EVACUATE_STATE_DIR"])), Reasons()
    for cell in (cell for cell in cells if cell.step == "finish_evacuation"):
        away = {
            (run.epoch, run.host) for run in runs(read_journal(root.disk(ids[cell.instance]))) if run.host != SOURCE
        }
        if len(away) > 1:
            found[cell.instance] = [f"disk: its guest had started, and was started again: {sorted(away)}"]
    return found


def how_it_ended(outcome: EvacuationOutcome | None, instance: InstanceView) -> str:
    if instance.vm_state == "deleted":
        return "deleted"
    return outcome.outcome if outcome else "refused"


def invariants(
    stack: Stack, names: Sequence[str], *, source: str | None = SOURCE, named: frozenset[str] = frozenset()
) -> Reasons:
    """All three sources, for every instance of the batch. `source`: where those that just came back wrote last.
    `named`: rules by which `check` may name what was done on purpose."""
    found: Reasons = defaultdict(list)
    world = stack.world()
    for findings in (_check(stack, named), _store(world), _processes(world), _disks(stack, world, source)):
        for subject, reason in findings:
            found[subject if subject in names else ANYBODY].append(reason)
    return found


def _check(stack: Stack, named: frozenset[str]) -> Iterator[tuple[str, str]]:
    answer = stack.run("check --json")
    found = answer.json if answer.out.strip() else []
    for breach in (breach for breach in found if breach["rule"] not in named):
        yield breach["subject"], f"check: {breach['invariant']} {breach['message']}"
    if answer.code not in (0, 1):
        yield ANYBODY, f"check: {answer}"


def _store(world: World) -> Iterator[tuple[str, str]]:
    for instance in world.rows.instances:
        if instance.task_state is not None:
            yield instance.name, f"store: task_state is {instance.task_state} at rest"
    for evacuation in world.rows.evacuations:
        if evacuation.open:
            yield evacuation.instance, f"store: its evacuation is open ({evacuation.phase})"
    for residence in world.rows.residences:
        if residence.proof is None and world.instances[residence.instance_id].vm_state == "deleted":
            yield residence.instance, f"store: deleted, and it may run on {residence.host}"


def _processes(world: World) -> Iterator[tuple[str, str]]:
    """Active is one guest on the recorded host; a host that is off runs none; everything else is none at all."""
    for instance in world.rows.instances:
        on = sorted(guest.host for guest in world.guests_of.get(instance.id, []))
        if on != ([instance.host] if _lives(world, instance) else []):
            yield instance.name, f"processes: {instance.vm_state} on {instance.host}, and guests on {on}"


def _lives(world: World, instance: InstanceView) -> bool:
    return instance.vm_state == "active" and world.boots.get(instance.host or "") is not None


def _disks(stack: Stack, world: World, source: str | None) -> Iterator[tuple[str, str]]:
    """One writer after the other, no write lost, and the last writer is on the recorded host."""
    root = ProcessRoot(Path(stack.environment["EVACUATE_STATE_DIR"]))
    for instance in world.rows.instances:
        records = read_journal(root.disk(instance.id))
        broken = breaches(records)
        if broken:
            yield instance.name, f"disk: {broken[0]} ({len(broken)} such)"
        last = runs(records)[-1].host if records else None
        if _lives(world, instance) and last not in (instance.host, source):
            yield instance.name, f"disk: {last} wrote last, and it lives on {instance.host}"
        if not records:
            yield instance.name, "disk: nothing was ever written"


def not_up(world: World) -> list[str]:
    """Hosts that are on, not in service, and not held by an evacuation that relies on their being off."""
    held = {each.source for each in world.rows.evacuations if each.open}
    on = [host for host in world.rows.hosts if world.boots.get(host.name) is not None]
    served = [host.name for host in on if (host.state, host.incarnation) == ("up", world.boots[host.name])]
    return [host.name for host in on if host.name not in served and host.name not in held]
