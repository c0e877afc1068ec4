"""The soak itself: rounds under faults, a look at everything between them, the account at the end."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evacuation.invariants import World
from evacuation.model import Frozen
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.chaos.servers import Postgres
from tests.chaos.verify import invariants, not_up
from tests.soak.leftovers import Longest, histories, longest, rows_left, table_sizes, unbounded
from tests.soak.memory import SHORTEST, WARM_UP, Memory, growing, unjudged
from tests.soak.options import Options
from tests.soak.report import Report
from tests.soak.rounds import Rounds, Tally
from tests.soak.weather import Weather
from tests.support.stack import Stack

SAMPLING = 5.0
STUCK = 300.0
"""Seconds after which a round that does not end, or a host that does not come back, is stuck."""
JUDGED = ("supervisor", "temporal", "control", "host")
"""Kinds of processes of which at least one must have been judged for its memory."""
JUDGING = WARM_UP + SHORTEST + 60
"""Seconds at a soak's end in which no fault ends Temporal's server, the older control worker, or the last host's."""
IDLE = 5
"""Rounds in a row in which nobody is recovered: then nothing is shown any more."""
LOOKS = 4
PAUSE = 1.5
"""Seconds between looks: a guest that has just started has not written yet."""


class Account(Frozen):
    """How it ended. `reasons`: why it is red; none: green."""

    reasons: tuple[str, ...]
    longest: tuple[Longest, ...]
    growth: dict[str, float]
    """MiB a minute by role, of processes that lived long enough."""
    rows: dict[str, int]
    minutes: float


class Soak:
    """On a stack that is up; it leaves it up, with every host powered on."""

    def __init__(self, stack: Stack, options: Options, postgres: Postgres | None, report: Report) -> None:
        self._stack = stack
        self._options = options
        self._postgres = postgres
        self._report = report
        self._memory = Memory(Path(stack.environment["EVACUATE_STATE_DIR"]))
        self._tally = Tally()
        self._began = time.monotonic()
        self._round = self._checks = 0
        self._breaches: list[str] = []

    def run(self) -> Account:
        with self._stack.as_environment():
            return asyncio.run(self._run())

    async def _run(self) -> Account:
        client = await connect(settings_for())
        self._rounds = Rounds(self._stack, client, self._options.seed, self._tally)
        self._weather = Weather(self._stack, lambda: self._rounds.evacuations, self._postgres)
        hosts = [f"cmp-{number}" for number in range(1, self._options.hosts + 1)]
        watching = [
            asyncio.create_task(self._sample()),
            asyncio.create_task(self._tell()),
            asyncio.create_task(self._rage(hosts[:-1])),
        ]
        try:
            while self._elapsed < self._options.minutes * 60 and not self._breaches:
                await self._play()
            async with self._weather.calm():
                return await self._settle_accounts(client)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _rage(self, hosts: list[str]) -> None:
        await self._weather.rage(self._options.seed, hosts, self._options.rate, self._mild_after)

    @property
    def _mild_after(self) -> float:
        """Seconds, after which enough of the soak is left to judge whoever lives on."""
        return self._options.minutes * 60 - JUDGING

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _play(self) -> None:
        self._round += 1
        try:
            await asyncio.wait_for(self._rounds.play(self._round), STUCK)
        except TimeoutError:
            await self._name_the_stuck()
            return
        async with self._weather.calm():
            if await self._come_to_rest():
                await self._look(self._faulty)
        self._tally.end_round()
        if self._tally.idle >= IDLE:
            self._blame([f"nobody was recovered in {self._tally.idle} rounds"])

    async def _name_the_stuck(self) -> None:
        for name in sorted(self._rounds.open):
            phase = await self._rounds.evacuations.phase(name)
            self._blame([f"{name} does not end: {phase}"])
        if not self._rounds.open:
            self._blame([f"round {self._round} does not end"])

    async def _come_to_rest(self) -> bool:
        """Nothing is in flight, and every host is off or up. False: it does not come to rest, and is blamed for it."""
        deadline, busy = time.monotonic() + STUCK, ["everything"]
        while busy and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            with suppress(Exception):
                busy = await asyncio.to_thread(lambda: list(restless(self._stack.world())))
        self._blame(f"after {STUCK:g} s of calm: {each}" for each in busy)
        return not busy

    async def _look(self, find: Callable[[], Iterable[str]]) -> None:
        """What stands through every look is a breach."""
        self._checks += 1
        found = await asyncio.to_thread(lambda: list(find()))
        for _ in range(LOOKS - 1):
            if not found:
                return
            await asyncio.sleep(PAUSE)
            again = await asyncio.to_thread(lambda: list(find()))
            found = [each for each in found if each in again]
        self._blame(found)

    def _faulty(self) -> list[str]:
        reasons = invariants(self._stack, [], source=None)
        return [reason for each in reasons.values() for reason in each]

    def _left(self) -> list[str]:
        world = self._stack.world()
        off = [f"{host} is off" for host, boot in world.boots.items() if boot is None]
        return [f"left over: {each}" for each in (*rows_left(world), *off)]

    def _blame(self, reasons: Iterable[str]) -> None:
        for reason in reasons:
            self._breaches.append(reason)
            self._report.say(f"BREACH in round {self._round}: {reason}")
            self._report.write("breach", elapsed=self._elapsed, round=self._round, reason=reason)

    async def _settle_accounts(self, client: Any) -> Account:
        """Every host is back; then nothing may be left over, long, or growing."""
        await self._rounds.bring_back()
        if await self._come_to_rest():
            await self._look(self._faulty)
            await self._look(self._left)
        found = await histories(client)
        self._blame(unbounded(found))
        self._blame(growing(self._memory.series))
        if self._elapsed > self._options.minutes * 60 > JUDGING:
            self._blame(unjudged(self._memory.series, JUDGED))
        account = Account(
            reasons=tuple(self._breaches),
            longest=longest(found),
            growth=self._memory.growth(),
            rows=table_sizes(settings_for().store_url),
            minutes=self._elapsed / 60,
        )
        self._report.minute(self._now())
        self._report.write("end", **account.model_dump(), series=[each.model_dump() for each in self._memory.series])
        return account

    async def _sample(self) -> None:
        while True:
            await asyncio.to_thread(self._memory.sample, self._elapsed)
            await asyncio.sleep(SAMPLING)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(60 - self._elapsed % 60)
            self._report.minute(self._now())

    def _now(self) -> dict[str, Any]:
        return {
            "elapsed": round(self._elapsed, 1),
            "round": self._round,
            "recovered": self._tally.done,
            "not_recovered": dict(self._tally.reasons),
            "deleted": self._tally.deleted,
            "in_flight": len(self._rounds.open),
            "faults": dict(self._weather.counts),
            "checks": self._checks,
            "breaches": len(self._breaches),
            "rss_mib": self._memory.now(),
        }


def restless(world: World) -> Sequence[str]:
    """What is still under way."""
    rows = world.rows
    flights = [f"the evacuation of {each.instance} is open ({each.phase})" for each in rows.evacuations if each.open]
    return [*flights, *(f"{host} is powered on and not up" for host in not_up(world))]
