"""One picture of the world for `check`: the store, the process table, the disks, and the workflows that run."""

import asyncio
import os
import time
from collections.abc import Iterable, Mapping

from evacuation.errors import TemporalUnavailableError
from evacuation.invariants import Breach, Rows, SeenDisk, SeenGuest, World, find_breaches
from evacuation.model import Frozen, TaskState
from evacuation.names import delete_instance_id, evacuate_instance_id
from services.hypervisors.process import ProcessHost, ProcessRoot
from services.hypervisors.process.disk import discontinued, interleaved, read_journal
from services.hypervisors.process.table import guests_of
from services.settings import Settings
from services.sql import SqlServices

LOOKS = 3
PAUSE = 0.25


class Findings(Frozen):
    breaches: tuple[Breach, ...]
    not_checked: tuple[str, ...]


def check(settings: Settings, services: SqlServices) -> Findings:
    """Breaches that stand: the store, the processes and the disks cannot be read in one moment, so that what one look
    finds counts only when every later look finds it too."""
    world, not_checked = gather(settings, services)
    standing = find_breaches(world)
    for _ in range(LOOKS - 1):
        if not standing:
            break
        time.sleep(PAUSE)
        again = {(b.invariant, b.subject): b for b in find_breaches(gather(settings, services)[0])}
        standing = tuple(again[b.invariant, b.subject] for b in standing if (b.invariant, b.subject) in again)
    return Findings(breaches=tuple(dict.fromkeys(standing)), not_checked=not_checked)


def gather(settings: Settings, services: SqlServices) -> tuple[World, tuple[str, ...]]:
    """The picture, and what could not be looked at."""
    rows = services.views.everything()
    missing: list[str] = []
    running = _running_workflows(settings, rows, missing)
    if settings.hypervisor != "process" or not (settings.state_dir / "hosts").is_dir():
        missing.append("guests and disks: they are not on this machine")
        return World(rows=rows, running_workflows=running), tuple(missing)
    root = ProcessRoot(settings.state_dir)
    hosts = [ProcessHost(settings.state_dir, row.name) for row in rows.hosts]
    hosts = [host for host in hosts if host.exists()]
    world = World(
        rows=rows,
        guests=tuple(guest for host in hosts for guest in _guests(root, host)),
        disks=tuple(_disks(root, rows)),
        boots={host.host: None if host.is_marked_off() else host.incarnation() for host in hosts},
        running_workflows=running,
    )
    return world, tuple(missing)


def _guests(root: ProcessRoot, host: ProcessHost) -> Iterable[SeenGuest]:
    incarnation = host.incarnation()
    for found in guests_of(root, host.host):
        if _only_starts(found.process.pid):
            continue
        yield SeenGuest(
            host=host.host,
            incarnation=incarnation,
            instance_id=found.instance_id,
            epoch=found.epoch,
            pid=found.process.pid,
            writes=not found.is_paused(),
        )


def _only_starts(pid: int) -> bool:
    """A guest leads no session: who does is about to start one, or is gone, and never writes."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return True


def _disks(root: ProcessRoot, rows: Rows) -> Iterable[SeenDisk]:
    """Of every instance whose guest is recorded as running; a journal that exists is read whatever is recorded."""
    for row in rows.instances:
        path = root.disk(row.id)
        if path.exists():
            records = read_journal(path)
            yield SeenDisk(
                instance_id=row.id,
                exists=True,
                interleaved=tuple(interleaved(records)),
                lost=tuple(discontinued(records)),
            )
        elif row.power_state == "running":
            yield SeenDisk(instance_id=row.id, exists=False)


def _running_workflows(settings: Settings, rows: Rows, missing: list[str]) -> frozenset[str] | None:
    """Asked by id, one by one: the visibility store lags, and is not to be polled."""
    workflows = {row.id: delete_instance_id(row.id) for row in rows.instances if row.task_state == TaskState.DELETING}
    workflows |= {row.instance_id: evacuate_instance_id(row.instance_id) for row in rows.evacuations if row.open}
    if not workflows:
        return frozenset()
    try:
        return asyncio.run(_ask(settings, workflows))
    except TemporalUnavailableError as error:
        missing.append(f"whether a workflow runs for each open evacuation and deletion: {error.message}")
        return None


async def _ask(settings: Settings, workflows: Mapping[str, str]) -> frozenset[str]:
    """Those instances whose workflow, of the id that is given for each, runs."""
    from temporalio.client import WorkflowExecutionStatus
    from temporalio.service import RPCError, RPCStatusCode

    from services.temporal import connect, unavailable

    client = await connect(settings)
    running: set[str] = set()
    for instance_id, workflow_id in workflows.items():
        try:
            described = await client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise unavailable(settings.temporal_address or "its address", error) from error
            continue
        if described.status is WorkflowExecutionStatus.RUNNING:
            running.add(instance_id)
    return frozenset(running)
