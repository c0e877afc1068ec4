"""What the hosts have seen of the ledger: asked by every control worker after its start and after each lost connection,
of Temporal or of the store. Until they have answered, it starts nothing."""

import asyncio
import os
import socket
from collections.abc import Sequence
from datetime import timedelta

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from evacuation import names
from evacuation.errors import StoreUnavailableError
from evacuation.messages import AskHostsInput, HostAnswer, ProbeRequest
from services.runtime.settings import Settings
from services.sql import SqlServices
from services.sql.ledger.witnesses import Witnesses
from workers.contact import until_back
from workflows.ask_hosts import AskHosts

log = structlog.stdlib.get_logger("worker")
LONGEST = 10.0
"""Seconds for all of them, times the time scale: who has not answered by then is no witness."""
PAGE, PAGE_WITH_GUESTS = 100, 4
"""Hosts that one workflow asks: all that they say of their guests goes into one message."""
SLOWER = 3
"""Times as long, where a person waits for what runs on every host."""
LOOK = 0.5


async def keep_asking(client: Client, settings: Settings, services: SqlServices, witnesses: Witnesses) -> None:
    """Never returns."""
    while True:
        witnesses.lost.clear()
        await _ask_all(client, settings, services, witnesses)
        witnesses.end_asking()
        await _until_lost(client, settings, witnesses)
        witnesses.begin_asking()


async def _until_lost(client: Client, settings: Settings, witnesses: Witnesses) -> None:
    away = asyncio.create_task(until_back(client, settings.time_scale))
    try:
        while not away.done() and not witnesses.lost.is_set():
            await asyncio.sleep(LOOK)
    finally:
        away.cancel()


async def _ask_all(client: Client, settings: Settings, services: SqlServices, witnesses: Witnesses) -> None:
    try:
        async with asyncio.timeout(LONGEST * settings.time_scale):
            hosts, mark = await asyncio.to_thread(services.ledger.to_be_asked)
            requests = [each.model_copy(update={"ledger": mark}) for each in hosts]
            answers = await ask_hosts(client, settings, requests, guests=False)
    except (RPCError, WorkflowFailureError, TimeoutError, StoreUnavailableError) as error:
        log.warning("the hosts could not be asked what they have seen of the store", cause=str(error))
        return
    heard = [each for each in answers if not each.why_not]
    for each in heard:
        witnesses.note(each.host, each.ledger)
    log.info("asked every host what it has seen of the store", hosts=len(requests), answered=len(heard))


async def ask_hosts(
    client: Client,
    settings: Settings,
    requests: Sequence[ProbeRequest],
    *,
    guests: bool,
    asker: str | None = None,
    within: float | None = None,
) -> tuple[HostAnswer, ...]:
    """An answer for each, a page of them at a time. `asker`: who asks again ends its questions before; `within`:
    seconds for one host. Raises RPCError; WorkflowFailureError: no control worker serves."""
    pages = pages_of(requests, guests=guests)
    longest = LONGEST * (SLOWER if guests else 1)
    asking = (
        ask_page(client, settings, n, page, guests=guests, longest=longest, asker=asker, within=within)
        for n, page in enumerate(pages)
    )
    return tuple(each for page in await asyncio.gather(*asking) for each in page)


def pages_of(requests: Sequence[ProbeRequest], *, guests: bool) -> list[Sequence[ProbeRequest]]:
    page = PAGE_WITH_GUESTS if guests else PAGE
    return [requests[first : first + page] for first in range(0, len(requests), page)]


async def ask_page(
    client: Client,
    settings: Settings,
    number: int,
    page: Sequence[ProbeRequest],
    *,
    guests: bool,
    longest: float,
    asker: str | None = None,
    within: float | None = None,
) -> tuple[HostAnswer, ...]:
    """`longest`: seconds, times the time scale. `number`: no other page of this asker has it. As `ask_hosts`."""
    asker = asker or f"{socket.gethostname()}-{os.getpid()}"
    answers = await client.execute_workflow(
        AskHosts.run,
        AskHostsInput(hosts=tuple(page), guests=guests, within=within, tuning=settings.tuning),
        id=names.ask_hosts_id(asker, number),
        task_queue=names.CONTROL_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        execution_timeout=timedelta(seconds=longest * max(settings.time_scale, 0.5)),
        static_summary="what runs on the hosts?" if guests else "what have the hosts seen of the store?",
    )
    return answers.answers
