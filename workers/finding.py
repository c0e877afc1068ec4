"""Which host has a guest: every host that is up is asked for all of its guests at once, and one answer of a short while
ago serves many who ask."""

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from control.asking import LONGEST as LONGEST_QUESTION
from control.asking import SLOWER, ask_page
from evacuation.errors import StoreUnavailableError
from evacuation.messages import HostReport, ProbeRequest
from services.runtime.settings import Settings

log = structlog.stdlib.get_logger("worker")
FRESH = 10.0
"""Seconds, times the time scale, for which an answer serves others, too: what comes to be meanwhile, a report tells."""
WITHIN = 2.0
"""Likewise: who has not answered by then is no obstacle."""
ENOUGH, LONGEST = 4.0, 6.0
"""Likewise: for what all have to say, where Temporal is slow or the hosts are many; and for all of it. Who has answered
by then counts."""
PAGE = 16
"""Hosts that one workflow asks. A guest is told in 160 bytes, a message has 2 MiB: 800 guests on each.
Many small workflows keep small machines busy for longer than anybody waits."""
ALL, ONE_AGAIN = "guests", "guests-again"
"""Of the ids of the workflows that ask: one of a kind runs at a time, and one about an instance."""
NEVER = datetime.min.replace(tzinfo=UTC)


class _Survey:
    """`reports`: of those who have answered so far. It goes on to its end, whoever gives up on it."""

    def __init__(self, began: datetime) -> None:
        self.began = began
        self.reports: list[HostReport] = []
        self.asking: asyncio.Task[None] | None = None

    async def end(self) -> None:
        """Raises StoreUnavailableError."""
        if self.asking is not None:
            await asyncio.shield(self.asking)


class SharedFinder:
    """The port `GuestFinder`, for threads beside the loop in which it was made. `hosts`: those that are up."""

    def __init__(self, client: Client, settings: Settings, hosts: Callable[[], Sequence[ProbeRequest]]) -> None:
        self._client = client
        self._settings = settings
        self._hosts = hosts
        self._loop = asyncio.get_running_loop()
        self._last = _Survey(NEVER)

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
        asked, mine = datetime.now(UTC), frozenset(instances)
        # Another clock may be ahead: what is asked from here on is of now.
        survey = await self._survey(
            max(min(since, asked), asked - timedelta(seconds=FRESH * self._settings.time_scale))
        )
        found = [each.about(mine) for each in survey.reports]
        having = [each.host for each in found if each.guests]
        if having and survey.began < asked:
            about = f"{ONE_AGAIN}/{min(instances)}"
            again = await self._ask(about, 0, [each for each in await self._up() if each.host in having])
            newer = {each.host: each.about(mine) for each in again}
            found = [newer.get(each.host, each) for each in found]
        return tuple(found)

    async def _survey(self, since: datetime) -> _Survey:
        """One that has begun since then and has ended; the last one as it is, where that takes too long: who has not
        answered is no obstacle, and who has is heard."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ENOUGH * self._settings.time_scale):
                return await self._ended_survey(since)
        log.warning("not every host could be asked for guests in time", answered=len(self._last.reports))
        return self._last

    async def _ended_survey(self, since: datetime) -> _Survey:
        """Whoever waits for one that has begun too early for it shares the next."""
        while (survey := self._last).began < since:
            with suppress(StoreUnavailableError):
                await survey.end()
            if survey is self._last:
                self._last = self._begin()
        await survey.end()
        return survey

    def _begin(self) -> _Survey:
        survey = _Survey(datetime.now(UTC))
        survey.asking = asyncio.create_task(self._ask_all(survey))
        return survey

    async def _ask_all(self, survey: _Survey) -> None:
        async def one(number: int, page: Sequence[ProbeRequest]) -> None:
            survey.reports.extend(await self._ask(ALL, number, page))

        try:
            hosts = await self._up()
        except StoreUnavailableError:
            survey.began = NEVER
            raise
        pages = [hosts[first : first + PAGE] for first in range(0, len(hosts), PAGE)]
        await asyncio.gather(*(one(number, page) for number, page in enumerate(pages)))

    async def _up(self) -> Sequence[ProbeRequest]:
        return await asyncio.to_thread(self._hosts)

    async def _ask(self, what: str, number: int, hosts: Sequence[ProbeRequest]) -> tuple[HostReport, ...]:
        asker, longest = f"{socket.gethostname()}-{os.getpid()}/{what}", LONGEST_QUESTION * SLOWER
        try:
            answers = await ask_page(
                self._client, self._settings, number, hosts, guests=True, longest=longest, asker=asker, within=WITHIN
            )
        except (RPCError, WorkflowFailureError) as error:
            log.warning("hosts could not be asked for guests", hosts=len(hosts), cause=str(error))
            return ()
        return tuple(each.report for each in answers if each.report is not None)
