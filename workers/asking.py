"""What the hosts have seen of the ledger: asked by every control worker after its start and after each lost connection,
of Temporal or of the store. Until they have answered, it starts nothing."""

import asyncio

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from control.asking import LONGEST, ask_hosts
from evacuation.errors import StoreUnavailableError
from services.runtime.settings import Settings
from services.sql import SqlServices
from services.sql.ledger.witnesses import Witnesses
from workers.contact import until_back

log = structlog.stdlib.get_logger("worker")
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
