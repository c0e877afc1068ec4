"""I4: the records of an evacuation (row, attempts, migration, action) say the same, and what the residences say."""

from collections.abc import Iterator

from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.holdings import CLAIMED
from evacuation.invariants.seen import SeenEvacuation, SeenHost, SeenMigration
from evacuation.invariants.world import World
from evacuation.model import HostState, MigrationStatus, VmState

OPEN = frozenset({MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING})
UNDONE = frozenset({MigrationStatus.FAILED, MigrationStatus.ERROR, MigrationStatus.CANCELLED})
STATUSES: dict[str, frozenset[MigrationStatus]] = {
    "recovered": frozenset({MigrationStatus.DONE, MigrationStatus.COMPLETED}),
    "not_recovered": UNDONE - {MigrationStatus.CANCELLED},
    "cancelled": frozenset({MigrationStatus.CANCELLED}),
    "refused": UNDONE,
}
"""By the outcome of a closed evacuation."""


def migration_unowned(world: World) -> Iterator[Case]:
    for row in world.rows.migrations:
        if row.status in OPEN and row.instance_id not in world.in_flight:
            yield case(world.name(row.instance_id), row.id, status=row.status)


def migration_otherwise(world: World) -> Iterator[Case]:
    for row in world.rows.evacuations:
        found = world.migrations.get(row.migration_id)
        right = OPEN if row.open else STATUSES.get(row.ended or "")
        if row.open and found is None:
            yield case(row.instance, row.id, found="missing", phase=row.phase, ended="open")
        elif found is not None and right is not None and found.status not in right:
            yield case(row.instance, row.id, found=found.status, phase=row.phase, ended=row.ended or "open")


def migration_without_residence(world: World) -> Iterator[Case]:
    """What a migration names as left on the source, and has brought to the destination, is in the residences."""
    arrived = {row.evacuation_id for row in world.rows.residences}
    known = {row.id for row in world.rows.evacuations}
    for row in world.rows.migrations:
        source = world.residences.get((row.instance_id, row.source_epoch))
        if row.status in (*OPEN, MigrationStatus.DONE) and (source is None or source.host != row.source):
            yield case(
                world.name(row.instance_id), row.id, status=row.status, place=f"{row.source} (epoch {row.source_epoch})"
            )
        if row.status in STATUSES["recovered"] and row.evacuation_id in known - arrived:
            yield case(world.name(row.instance_id), row.id, status=row.status, place=row.destination)


def completed_unseen(world: World) -> Iterator[Case]:
    """`completed` is written when the source has come back and has destroyed what was left there."""
    for row in world.rows.migrations:
        host = _source_in_the_same_boot(world, row)
        since = host.fenced_since if host is not None else None
        if row.status == MigrationStatus.COMPLETED and since is not None and since < row.updated_at:
            yield case(world.name(row.instance_id), row.id, source=row.source)


def done_unseen(world: World) -> Iterator[Case]:
    for row in world.rows.migrations:
        host = world.hosts.get(row.source)
        left = world.residences.get((row.instance_id, row.source_epoch))
        if row.status != MigrationStatus.DONE or host is None or left is None or left.incarnation is None:
            continue
        if host.state == HostState.UP and host.incarnation != left.incarnation:
            yield case(world.name(row.instance_id), row.id, source=row.source)


def _source_in_the_same_boot(world: World, row: SeenMigration) -> SeenHost | None:
    host = world.hosts.get(row.source)
    left = world.residences.get((row.instance_id, row.source_epoch))
    return host if host is not None and left is not None and host.incarnation == left.incarnation else None


def records_differ(world: World) -> Iterator[Case]:
    evacuations = {row.id: row for row in world.rows.evacuations}
    for row in world.rows.migrations:
        found = evacuations.get(row.evacuation_id)
        if found is not None and (wrong := _differs(found, row)):
            yield case(found.instance, f"migration {row.id}", wrong=wrong)
    for row in (*world.rows.actions, *world.rows.attempts):
        found = evacuations.get(row.evacuation_id)
        if found is not None and row.instance_id != found.instance_id:
            yield case(found.instance, f"evacuation {found.id}", wrong=f"instance {row.instance_id}")
    for row in world.in_flight.values():
        instance = world.instances.get(row.instance_id)
        if instance is None or instance.vm_state == VmState.DELETED:
            continue
        if (row.source, row.vm_state_before) != (instance.host, instance.vm_state):
            was = f"it was {row.vm_state_before} on {row.source}, and it is {instance.vm_state} on {instance.host}"
            yield case(row.instance, f"evacuation {row.id}", wrong=was)


def _differs(row: SeenEvacuation, migration: SeenMigration) -> str | None:
    pairs = {
        "migration": (row.migration_id, migration.id),
        "instance": (row.instance_id, migration.instance_id),
        "source": (row.source, migration.source),
        "destination": (row.destination or migration.destination, migration.destination),
    }
    return next((f"{what} {two}, not {one}" for what, (one, two) in pairs.items() if one != two), None)


def attempt_lost(world: World) -> Iterator[Case]:
    """One that is undone may never have got as far as a claim."""
    for row in world.in_flight.values():
        if row.phase in CLAIMED and row.destination is None:
            yield case(row.instance, attempt=row.attempt, phase=row.phase)


def last_otherwise(world: World) -> Iterator[Case]:
    for row in world.rows.instances:
        last = world.last.get(row.id)
        if last is not None and row.last_evacuation_id != last.id:
            yield case(row.name, last=last.id, found=row.last_evacuation_id or "none")


def end_unwritten(world: World) -> Iterator[Case]:
    finished = {row.evacuation_id: row.finished for row in world.rows.actions}
    for row in world.rows.evacuations:
        if not row.has_end and not row.open:
            yield case(row.instance, row.id, phase=row.phase, what="the time of its end is not recorded")
        elif finished.get(row.id, not row.open) == row.open:
            what = "is finished" if row.open else "is not finished"
            yield case(row.instance, row.id, phase=row.phase, what=f"its action {what}")


RULES: tuple[Rule, ...] = (
    Rule("migration-unowned", "I4", migration_unowned, "its migration {about} is {status}, and no evacuation is open"),
    Rule(
        "migration-otherwise",
        "I4",
        migration_otherwise,
        "its evacuation {about} is {phase} ({ended}), and the migration is {found}",
    ),
    Rule(
        "migration-without-residence",
        "I4",
        migration_without_residence,
        "its migration {about} is {status}, and no residence on {place} belongs to it",
    ),
    Rule(
        "completed-unseen",
        "I4",
        completed_unseen,
        "its migration {about} is completed, and {source} has not been back since its fence: a guest may be left there",
        "set it to done: what is left there is destroyed when {source} comes back",
    ),
    Rule(
        "done-unseen",
        "I4",
        done_unseen,
        "its migration {about} is done, and {source} is up again in another boot: what was left there should be gone",
        "start the host worker of {source} again",
    ),
    Rule("records-differ", "I4", records_differ, "the records of {about} differ: {wrong}"),
    Rule("attempt-lost", "I4", attempt_lost, "attempt {attempt} is {phase}, and nothing says where it goes"),
    Rule("last-otherwise", "I4", last_otherwise, "its last evacuation is {last}, and {found} is noted"),
    Rule("end-unwritten", "I4", end_unwritten, "its evacuation {about} is {phase}, and {what}"),
)
