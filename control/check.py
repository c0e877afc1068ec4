"""One picture of the world for `check`: the store, what runs on the hosts, the disks, and the workflows that run."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

from control.host_observer import HostObserver
from control.retries import find_retries
from evacuation.errors import TemporalUnavailableError
from evacuation.invariants import Breach, Rows, World, find_breaches
from evacuation.model import Frozen, HostState, TaskState
from evacuation.names import delete_instance_id, evacuate_instance_id, return_host_id
from evacuation.observing import Observer
from services.drivers import HYPERVISORS
from services.runtime.settings import Settings
from services.sql import SqlServices

LOOKS = 3
PAUSE = 0.25


class Findings(Frozen):
    """Breaches that every look has found; `not_checked` names, a line each, what nobody could look at."""

    breaches: tuple[Breach, ...]
    not_checked: tuple[str, ...]


def check(settings: Settings, services: SqlServices) -> Findings:
    """Breaches that stand: the store, the guests and the disks cannot be read in one moment, so that what one look
    finds counts only when every later look finds it too. What one look has not seen is told."""
    observer = observer_of(settings, services)
    world, not_checked = gather(settings, services, observer)
    standing = find_breaches(world)
    for _ in range(LOOKS - 1):
        if not standing:
            break
        time.sleep(PAUSE)
        found = {breach.key for breach in standing}
        again, missing = gather(settings, services, observer)
        standing = tuple(each for each in find_breaches(again) if each.key in found)
        not_checked = tuple(dict.fromkeys((*not_checked, *missing)))
    with suppress(TemporalUnavailableError):
        # Where it is, what was not checked says so already.
        standing = (*standing, *find_retries(settings, world.rows))
    return Findings(breaches=standing, not_checked=not_checked)


def observer_of(settings: Settings, services: SqlServices) -> Observer:
    """By what is at hand: the hosts themselves, where they are here; else what their workers say."""
    hosts, _ = services.ledger.to_be_asked()
    here = HYPERVISORS[settings.hypervisor]().observer(settings, [each.host for each in hosts])
    return here or HostObserver(settings, hosts)


def gather(
    settings: Settings, services: SqlServices, observer: Observer | None = None
) -> tuple[World, tuple[str, ...]]:
    """The picture, and what could not be looked at."""
    rows, sight = (observer or observer_of(settings, services)).look(services.views.everything)
    deletions, evacuations, returns = _workflows(rows, sight.boots)
    running, unanswered = _running(settings, deletions | evacuations | returns)
    world = World(
        rows=rows,
        running_workflows=None if running is None else running & (deletions.keys() | evacuations.keys()),
        returning=None if running is None else running & returns.keys(),
        **sight.of_the_world,
    )
    return world, (*sight.missing, *unanswered)


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

    from control.access import connect
    from services.runtime.temporal_address import unavailable

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
