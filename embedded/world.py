"""One picture of the world for `check`: the store, the process table, the disks, and the workflows that run."""

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from embedded.retries import find_retries
from evacuation.errors import HypervisorUnavailableError, TemporalUnavailableError
from evacuation.invariants import Breach, Rows, SeenDisk, SeenGuest, World, find_breaches
from evacuation.ledger import Witness
from evacuation.model import Frozen, HostState, TaskState, VmState
from evacuation.names import delete_instance_id, evacuate_instance_id, return_host_id
from services.hypervisors.ledger import HostLedger
from services.hypervisors.process import ProcessHost, ProcessRoot
from services.hypervisors.process.disk import Record, discontinued, interleaved, read_journal
from services.hypervisors.process.making import why_unusable
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
        found = {breach.key for breach in standing}
        standing = tuple(each for each in find_breaches(gather(settings, services)[0]) if each.key in found)
    with suppress(TemporalUnavailableError):
        # Where it is, what was not checked says so already.
        standing = (*standing, *find_retries(settings, world.rows))
    return Findings(breaches=standing, not_checked=not_checked)


def gather(settings: Settings, services: SqlServices) -> tuple[World, tuple[str, ...]]:
    """The picture, and what could not be looked at."""
    witnesses, missing = _witnesses(settings)  # Before the store: what is written meanwhile is no sign against it.
    rows = services.views.everything()
    hosts = _hosts(settings, rows)
    powers = {host.host: host.power() for host in hosts}
    boots = {host.host: None if host.is_marked_off() else powers[host.host].incarnation for host in hosts}
    deletions, evacuations, returns = _workflows(rows, boots)
    running, unanswered = _running(settings, deletions | evacuations | returns)
    missing = (*missing, *unanswered)
    if not hosts:
        missing = (*missing, "guests, disks, and what hosts have seen of the store: they are not on this machine")
    root = ProcessRoot(settings.state_dir)
    world = World(
        rows=rows,
        guests=tuple(guest for host in hosts for guest in _guests(root, host)),
        disks=tuple(_disks(root, rows)) if hosts else (),
        boots=boots,
        identities={host: power.hypervisor_uuid for host, power in powers.items()},
        witnesses=tuple(each for each in witnesses if each.who in powers),
        running_workflows=None if running is None else running & (deletions.keys() | evacuations.keys()),
        returning=None if running is None else running & returns.keys(),
    )
    return world, missing


def _witnesses(settings: Settings) -> tuple[list[Witness], tuple[str, ...]]:
    """What the hosts' workers have written down of the ledger, and whose could not be read."""
    if settings.hypervisor != "process":
        return [], ()
    root = ProcessRoot(settings.state_dir)
    found: list[Witness] = []
    missing: list[str] = []
    for host in root.hosts():
        try:
            mark = HostLedger(root.host(host).ledger).known()
        except HypervisorUnavailableError as error:
            missing.append(f"what {host} has seen of the store: {error.message}")
        else:
            found += [Witness(who=host, mark=mark)] if mark is not None else []
    return found, tuple(missing)


def _hosts(settings: Settings, rows: Rows) -> list[ProcessHost]:
    if settings.hypervisor != "process" or not (settings.state_dir / "hosts").is_dir():
        return []
    hosts = (ProcessHost(settings.state_dir, row.name) for row in rows.hosts)
    return [host for host in hosts if host.exists()]


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
    """Of every instance; of one that is deleted, only what is left of it."""
    for row in rows.instances:
        path = root.disk(row.id)
        missing = why_unusable(path, row.id)
        if missing is None:
            yield _journal(row.id, read_journal(path))
        elif row.vm_state != VmState.DELETED:
            yield SeenDisk(instance_id=row.id, exists=False, missing=missing)


def _journal(instance_id: str, records: list[Record]) -> SeenDisk:
    return SeenDisk(
        instance_id=instance_id,
        exists=True,
        begins=(records[0].counter, records[0].epoch) if records else None,
        interleaved=tuple(interleaved(records)),
        lost=tuple(discontinued(records)),
    )


Workflows = dict[str, str]
"""Workflow ids, by the id of the instance or the name of the host that they are about."""


def _workflows(rows: Rows, boots: Mapping[str, str | None]) -> tuple[Workflows, Workflows, Workflows]:
    """Deletions, evacuations (starts and stops have the same id) and returns that are to run, if all is well."""
    deletions = {row.id: delete_instance_id(row.id) for row in rows.instances if row.task_state == TaskState.DELETING}
    powering = (TaskState.POWERING_ON, TaskState.POWERING_OFF)
    evacuations = {row.id: evacuate_instance_id(row.id) for row in rows.instances if row.task_state in powering}
    evacuations |= {row.instance_id: evacuate_instance_id(row.instance_id) for row in rows.evacuations if row.open}
    on = (row for row in rows.hosts if row.incarnation is not None and boots.get(row.name) == row.incarnation)
    returns = {row.name: return_host_id(row.name) for row in on if row.state == HostState.DOWN and not row.fenced}
    return deletions, evacuations, returns


def _running(settings: Settings, workflows: Workflows) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    """Asked by id, one by one: the visibility store lags, and must not be polled."""
    if not workflows:
        return frozenset(), ()
    try:
        return asyncio.run(_ask(settings, workflows)), ()
    except TemporalUnavailableError as error:
        return None, (f"whether a workflow runs for what is under way: {error.message}",)


async def _ask(settings: Settings, workflows: Workflows) -> frozenset[str]:
    """Those of whom the workflow with the id that is given runs."""
    from temporalio.client import WorkflowExecutionStatus
    from temporalio.service import RPCError, RPCStatusCode

    from services.temporal import connect, unavailable

    client = await connect(settings)
    running: set[str] = set()
    for key, workflow_id in workflows.items():
        try:
            described = await client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise unavailable(settings.temporal_address or "its address", error) from error
            continue
        if described.status is WorkflowExecutionStatus.RUNNING:
            running.add(key)
    return frozenset(running)
