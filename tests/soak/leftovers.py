"""What must not be left when nothing is in flight and every host is up: rows, workflows, long histories."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, MetaData, func, select
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from evacuation.invariants import World
from evacuation.model import Frozen
from services.sql.database import connect_database

MOST_EVENTS = 2_000
"""Half of where Temporal suggests to continue as new."""
MOST_BYTES = 2 * 2**20
OPEN = ("accepted", "pre-migrating")


def rows_left(world: World) -> Iterator[str]:
    """One line for every row that belongs to nothing any more."""
    rows, gone = world.rows, {row.id for row in world.rows.instances if row.vm_state == "deleted"}
    alive = world.instances.keys() - gone
    for evacuation in rows.evacuations:
        if evacuation.open:
            yield f"evacuation {evacuation.id} of {evacuation.instance} is open ({evacuation.phase})"
    for migration in rows.migrations:
        if migration.status in OPEN:
            yield f"migration {migration.id} of {world.name(migration.instance_id)} is {migration.status}"
    for allocation in rows.allocations:
        if allocation.consumer_id not in alive:
            yield f"an allocation on {allocation.host} belongs to {world.name(allocation.consumer_id)}"
    for binding in rows.inactive_bindings:
        yield f"an inactive binding on {binding.host} belongs to {world.name(binding.instance_id)}"
    yield from (f"port {p.ip} belongs to deleted {world.name(p.instance_id)}" for p in rows.ports if _is(p, gone))
    for volume in rows.volumes:
        left = [each for each in volume.attachments if each.instance_id in gone]
        yield from (f"an attachment of {volume.name} belongs to deleted {world.name(a.instance_id)}" for a in left)
    yield from _residences(world, gone)
    for instance in rows.instances:
        if instance.task_state is not None:
            yield f"{instance.name} is {instance.task_state}"


def _residences(world: World, gone: set[str]) -> Iterator[str]:
    for instance_id, residences in world.unproven.items():
        if instance_id in gone:
            where = ", ".join(each.host for each in residences)
            yield f"deleted {world.name(instance_id)} may still run on {where}: nothing proves the opposite"
        elif len(residences) > 1:
            yield f"{world.name(instance_id)} has {len(residences)} residences without proof"


def _is(row: object, instances: set[str]) -> bool:
    return getattr(row, "instance_id", None) in instances


class Longest(Frozen):
    """The longest history of one type of workflow."""

    workflow: str
    count: int
    events: int
    bytes: int
    longest: str


class History(Frozen):
    workflow: str
    id: str
    events: int
    bytes: int
    running: bool


async def histories(client: Client) -> tuple[History, ...]:
    """Of every run that the namespace still has. Asked once: visibility must not be polled."""
    found: list[History] = []
    async for each in client.list_workflows():
        info, running = each.raw_info, each.status is WorkflowExecutionStatus.RUNNING
        if running:
            # Visibility lags, and knows the length of closed ones only.
            try:
                described = await client.get_workflow_handle(each.id, run_id=each.run_id).describe()
            except RPCError:
                continue
            info, running = described.raw_info, described.status is WorkflowExecutionStatus.RUNNING
        size = info.history_size_bytes
        kind = each.workflow_type
        found.append(History(workflow=kind, id=each.id, events=info.history_length, bytes=size, running=running))
    return tuple(found)


def longest(found: Iterable[History]) -> tuple[Longest, ...]:
    by_type: dict[str, list[History]] = defaultdict(list)
    for each in found:
        by_type[each.workflow].append(each)
    return tuple(
        Longest(
            workflow=workflow,
            count=len(all_of),
            events=max(each.events for each in all_of),
            bytes=max(each.bytes for each in all_of),
            longest=max(all_of, key=lambda each: each.events).id,
        )
        for workflow, all_of in sorted(by_type.items())
    )


def unbounded(found: Iterable[History]) -> Iterator[str]:
    for each in found:
        if each.running:
            yield f"workflow {each.id} still runs, {each.events} events"
        if each.events > MOST_EVENTS or each.bytes > MOST_BYTES:
            yield f"history: {each.id} has {each.events} events and {each.bytes} bytes"


def table_sizes(url: str) -> dict[str, int]:
    """Rows of every table of the store."""
    database = connect_database(url)
    try:
        return database.run(_count)
    finally:
        database.close()


def _count(connection: Connection) -> dict[str, int]:
    tables = MetaData()
    tables.reflect(connection)
    counts = {each.name: select(func.count()).select_from(each) for each in tables.sorted_tables}
    return {name: connection.scalar(count) or 0 for name, count in sorted(counts.items())}
