"""The faults: one after the other at the set rate, none while it is calm."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path

import psutil
from temporalio.service import RPCError

from embedded.faults import keys_of, read_faults
from embedded.state import StateDir
from tests.chaos.evacuations import Evacuations
from tests.chaos.servers import Postgres
from tests.chaos.strikes import Strike
from tests.soak.chance import STORE, Fault, fault
from tests.support.stack import Stack

LIFE = 20.0
"""Seconds for which a rule waits for its step."""
MOST_OWED = 30.0
"""Seconds of faults that are made up for after a calm."""


class Weather:
    """`counts`: by kind, what came to pass. A rule whose step did not come in time counts for nothing."""

    def __init__(self, stack: Stack, evacuations: Callable[[], Evacuations], postgres: Postgres | None) -> None:
        self._stack = stack
        self._evacuations = evacuations
        self._postgres = postgres
        self._scale = float(stack.environment["EVACUATE_TIME_SCALE"])
        self._strikes = StateDir(Path(stack.environment["EVACUATE_STATE_DIR"])).strikes
        self._calm = asyncio.Lock()
        self._rules: list[tuple[Fault, float]] = []
        self._missed = 0
        self._store = asyncio.Lock()
        self._strikes_under_way: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    async def rage(self, seed: str, hosts: list[str], rate: float, sparing_after: float) -> None:
        """Until it is cancelled. `sparing_after`: seconds after which the processes that are to be judged live on."""
        number, clock = 0, asyncio.get_running_loop().time
        due = began = clock()
        while rate:
            number += 1
            sparing = clock() - began > sparing_after
            drawn = fault(seed, number, hosts, rate=rate, postgres=self._postgres is not None, sparing=sparing)
            # Rules that missed, and the time of a calm, are made up for.
            due = max(due + drawn.gap - self._missed * 60 / rate, clock() - MOST_OWED)
            self._missed = 0
            await asyncio.sleep(max(0.0, due - clock()))
            async with self._calm:
                await self._strike(drawn)

    @asynccontextmanager
    async def calm(self) -> AsyncIterator[None]:
        """No fault, and no rule that waits for its step; what was frozen has thawed."""
        async with self._calm:
            self._set([])
            await asyncio.gather(*self._strikes_under_way)
            yield

    async def _strike(self, drawn: Fault) -> None:
        now = asyncio.get_running_loop().time()
        waiting = [(each, since) for each, since in self._rules if now - since < LIFE]
        if drawn.rule is not None:
            waiting = [*waiting, (drawn, now)]
        self._set(waiting)
        if drawn.rule is None:
            task = asyncio.create_task(self._do(drawn))
            self._strikes_under_way.add(task)
            task.add_done_callback(self._strikes_under_way.discard)

    async def _do(self, drawn: Fault) -> None:
        """A worker that is not there just now, its host being dead, cannot be struck."""
        strike = Strike(
            self._stack,
            self._evacuations(),
            self._postgres,
            self._scale,
            lambda: None,
            destination=drawn.host,
            stand_in=False,
        )
        with suppress(AssertionError, ProcessLookupError, ValueError, psutil.Error, RPCError):
            # One after the other: a store that is being started is not killed, one that is frozen is thawed first.
            async with self._store if drawn.kind in STORE else nullcontext():
                await strike.do(drawn.kind, [])
            self.counts[drawn.kind] += 1

    def _set(self, rules: list[tuple[Fault, float]]) -> None:
        """Counts what has struck; what is the same rule once more is to strike once more."""
        struck = {path.name.rsplit(".", 1)[0]: path for path in self._strikes.glob("*.*")}
        done = [
            entry
            for key, entry in zip(keys_of(read_faults(self._stack.faults)), self._rules, strict=True)
            if key in struck
        ]
        self.counts.update(f"{each.kind} in a step" for each, _ in done)
        self._missed += sum(entry not in rules and entry not in done for entry in self._rules)
        self._rules = [entry for entry in rules if entry not in done]
        self._stack.set_faults([each.rule for each, _ in self._rules if each.rule is not None])
        for path in struck.values():
            path.unlink(missing_ok=True)
