"""Whether this worker was out of everybody's sight for a while: frozen with its machine, or cut off from Temporal."""

import asyncio
import time
from datetime import timedelta

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

LOOK = 2.0
"""Seconds between two looks, times the time scale."""
AWAY = 5.0
"""Seconds out of sight, times the time scale, after which the world may have decided that the host is off."""
LEAST = 0.5, 2.0
"""Neither of them becomes less than this, however the time is scaled: a busy machine is late by as much."""
TIMEOUT = timedelta(seconds=3)


async def until_back(client: Client, scale: float) -> float:
    """Returns once Temporal answers again after it did not for longer than AWAY: for how many seconds. Time that the
    machine slept counts."""
    look, away = (max(each * scale, least) for each, least in zip((LOOK, AWAY), LEAST, strict=True))
    heard = _now()
    while True:
        await asyncio.sleep(look)
        if not await _answers(client):
            continue
        silence, heard = _now() - heard, _now()
        if silence > away:
            return silence


class Doubt:
    """Whether somebody may take this host for lost: it was out of sight, or was asked by one who does."""

    def __init__(self) -> None:
        self._raised = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def raise_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._raised.set)

    async def wait(self, client: Client, scale: float) -> str:
        """Why. What was raised until then is heard; what is raised afterwards, the next time."""
        away = asyncio.create_task(until_back(client, scale))
        asked = asyncio.create_task(self._raised.wait())
        try:
            await asyncio.wait([away, asked], return_when=asyncio.FIRST_COMPLETED)  # noqa: TID251 (no workflow)
            self._raised.clear()
            return f"out of sight for {away.result():.1f} s" if away.done() else "somebody takes it for lost"
        finally:
            away.cancel()
            asked.cancel()


async def _answers(client: Client) -> bool:
    """By the call that every client begins with: a health check is not open everywhere."""
    try:
        await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=TIMEOUT)
    except RPCError:
        return False
    return True


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
