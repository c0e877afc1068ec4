"""What fails again and again: for `check` of every evacuation, deletion and return that is under way, and of one
instance for whoever looks at it."""

import asyncio

from temporalio.service import RPCError

from control.access import connect, open_evacuation
from control.failures import answered
from evacuation.invariants import Breach, Rows
from evacuation.model import Frozen, HostState, TaskState
from evacuation.names import delete_instance_id, evacuate_instance_id, return_host_id
from evacuation.retries import Retrying
from evacuation.views import InstanceView
from services.runtime.retrying import retrying
from services.runtime.settings import Settings
from services.runtime.temporal_address import unavailable

AT_ONCE = 16
"""Workflows that are asked for at the same time."""


class Asked(Frozen):
    """A workflow that may run, and whose it is."""

    workflow_id: str
    subject: str
    evacuation_id: str | None = None
    instance: str | None = None


def find_retries(settings: Settings, rows: Rows) -> tuple[Breach, ...]:
    """I3: what fails without end is told, with its last cause. Raises TemporalUnavailableError."""
    asked = under_way(rows)
    found = asyncio.run(_ask(settings, asked)) if asked else []
    return tuple(_breach(each, retry) for each, retries in zip(asked, found, strict=True) for retry in retries)


def under_way(rows: Rows) -> tuple[Asked, ...]:
    evacuations = (
        Asked(
            workflow_id=evacuate_instance_id(row.instance_id),
            subject=row.instance,
            evacuation_id=row.id,
            instance=row.instance,
        )
        for row in rows.evacuations
        if row.open
    )
    deletions = (
        Asked(workflow_id=delete_instance_id(row.id), subject=row.name, instance=row.name)
        for row in rows.instances
        if row.task_state == TaskState.DELETING
    )
    returns = (
        Asked(workflow_id=return_host_id(row.name), subject=row.name)
        for row in rows.hosts
        if row.state == HostState.DOWN and row.incarnation is not None
    )
    return (*evacuations, *deletions, *returns)


async def _ask(settings: Settings, asked: tuple[Asked, ...]) -> list[tuple[Retrying, ...]]:
    client, gate = await connect(settings), asyncio.Semaphore(AT_ONCE)

    async def one(each: Asked) -> tuple[Retrying, ...]:
        async with gate:
            handle = client.get_workflow_handle(each.workflow_id)
            return await retrying(handle, evacuation_id=each.evacuation_id, instance=each.instance)

    try:
        return await asyncio.gather(*(one(each) for each in asked))
    except RPCError as error:
        raise unavailable(settings.temporal_address or "its address", error) from error


def _breach(asked: Asked, retry: Retrying) -> Breach:
    return Breach(
        rule="tried-again",
        invariant="I3",
        subject=asked.subject,
        about=retry.activity,
        message=f"{retry.activity} has failed {retry.times} times since {retry.since:%Y-%m-%dT%H:%M:%SZ}: "
        f"{retry.last_error}",
        remedy="mend the cause: it is tried on by itself, and goes on then",
    )


async def retries_about(settings: Settings, instance: InstanceView) -> tuple[Retrying, ...]:
    """Of an evacuation or a deletion of it. Raises TemporalUnavailableError."""
    client = await connect(settings)
    deleting = instance.task_state == TaskState.DELETING
    workflow_id = delete_instance_id(instance.id) if deleting else evacuate_instance_id(instance.id)
    with answered():
        handle = client.get_workflow_handle(workflow_id)
        return await retrying(handle, evacuation_id=open_evacuation(instance.id), instance=instance.name)
