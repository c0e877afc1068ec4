"""Which host has a guest: every host that is up is asked for all of its guests at once, and one answer of a short while
ago serves many who ask."""

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from evacuation.errors import StoreUnavailableError
from evacuation.messages import HostReport, ProbeRequest
from services.settings import Settings
from workers.asking import ask_hosts

log = structlog.stdlib.get_logger("worker")
FRESH = 10.0
"""Seconds, times the time scale, for which an answer serves others, too: what comes to be meanwhile, a report tells."""
WITHIN = 2.0
"""Likewise: who has not answered by then is no obstacle."""
LONGEST = 6.0
"""Likewise: for all of it, where Temporal itself is slow."""
ALL, ONE_AGAIN = "guests", "guests-again"
"""Of the ids of the workflows that ask: one of a kind runs at a time."""


class _Survey(NamedTuple):
    began: datetime
    reports: tuple[HostReport, ...]


class SharedFinder:
    """The port `GuestFinder`, for threads beside the loop in which it was made. `hosts`: those that are up."""

    def __init__(self, client: Client, settings: Settings, hosts: Callable[[], Sequence[ProbeRequest]]) -> None:
        self._client = client
        self._settings = settings
        self._hosts = hosts
        self._loop = asyncio.get_running_loop()
        self._all, self._again = asyncio.Lock(), asyncio.Lock()
        self._last = _Survey(datetime.min.replace(tzinfo=UTC), ())

    def find(self, instances: Collection[str], since: datetime) -> tuple[HostReport, ...]:
        asked = asyncio.run_coroutine_threadsafe(self.look(instances, since), self._loop)
        try:
            return asked.result(LONGEST * self._settings.time_scale)
        except TimeoutError:
            asked.cancel()
            log.warning("the hosts could not be asked for guests in time")
            return ()

    async def look(self, instances: Collection[str], since: datetime) -> tuple[HostReport, ...]:
        """As `find`, in the loop."""
        asked = datetime.now(UTC)
        # Another clock may be ahead: what is asked from here on is of now.
        survey = await self._survey(min(since, asked))
        found = [_only(each, instances) for each in survey.reports]
        having = [each.host for each in found if each.guests]
        if having and survey.began < asked:
            async with self._again:
                again = await self._ask(ONE_AGAIN, [each for each in await self._up() if each.host in having])
            newer = {each.host: _only(each, instances) for each in again}
            found = [newer.get(each.host, each) for each in found]
        return tuple(found)

    async def _survey(self, since: datetime) -> _Survey:
        """Whoever waits for one that has begun too early for it shares the next."""
        async with self._all:
            oldest = datetime.now(UTC) - timedelta(seconds=FRESH * self._settings.time_scale)
            if self._last.began < max(since, oldest):
                began = datetime.now(UTC)
                self._last = _Survey(began, await self._ask(ALL, await self._up()))
            return self._last

    async def _up(self) -> Sequence[ProbeRequest]:
        return await asyncio.to_thread(self._hosts)

    async def _ask(self, what: str, hosts: Sequence[ProbeRequest]) -> tuple[HostReport, ...]:
        try:
            asker = f"{socket.gethostname()}-{os.getpid()}/{what}"
            answers = await ask_hosts(self._client, self._settings, hosts, guests=True, asker=asker, within=WITHIN)
        except (RPCError, WorkflowFailureError, StoreUnavailableError) as error:
            log.warning("the hosts could not be asked for guests", cause=str(error))
            return ()
        return tuple(each.report for each in answers if each.report is not None)


def _only(report: HostReport, instances: Iterable[str]) -> HostReport:
    mine = frozenset(instances)
    return report.model_copy(update={"guests": tuple(each for each in report.guests if each.instance_id in mine)})
