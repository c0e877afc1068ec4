"""One batch of cells on one stack: every instance is brought to its step, struck there, followed, and looked at."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from control.deletions import delete
from embedded.faults import keys_of, read_faults
from embedded.state import StateDir
from evacuation.messages import EvacuationOutcome
from evacuation.model import Frozen
from evacuation.views import InstanceView
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from tests.chaos import gone, restored
from tests.chaos.evacuations import Evacuations
from tests.chaos.plan import HASTY, PRELUDE, Cell, Key
from tests.chaos.rules import cell_rule, prelude_rules, route_rules
from tests.chaos.servers import Postgres
from tests.chaos.strikes import Strike, say_off
from tests.chaos.verify import (
    ANYBODY,
    Reasons,
    how_it_ended,
    invariants,
    not_up,
    outcomes_as_expected,
    undone_starts,
)
from tests.chaos.world import DESTINATION, SOURCE, bystanders, homes
from tests.support.stack import Stack

ARRIVAL = 45.0
"""Seconds within which every instance is at its step: a destination is taken for silent only after some."""
END = 150.0
"""Seconds after a strike within which every evacuation has ended."""
JITTER = 0.4
COMING = 40.0
"""Seconds within which a host that is on is up."""
LATE = 1.0
"""Seconds within which a step that hung goes on, once it may."""


class Verdict(Frozen):
    """What became of one cell. `seconds`: from the strike to the end, for faults that are done from outside."""

    kind: str
    route: str
    step: str
    at: str
    disk_lock: bool
    result: str
    outcome: str = ""
    seconds: float | None = None
    reasons: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.kind, self.step, self.at, self.disk_lock


def verdict(cell: Cell, result: str, **more: Any) -> Verdict:
    return Verdict(
        kind=cell.kind.name,
        route=cell.route,
        step=cell.step,
        at=cell.at,
        disk_lock=cell.disk_lock,
        result=result,
        **more,
    )


class Batch:
    """The stack is up and its source alive; it is left up, with the source returned."""

    def __init__(
        self, stack: Stack, cells: Sequence[Cell], postgres: Postgres | None, *, seed: str, patience: float
    ) -> None:
        self._stack = stack
        self._patience = patience
        self._cells = tuple(cells)
        self._kind = cells[0].kind
        self._names = [cell.instance for cell in cells]
        self._bystanders = bystanders(self._kind)
        self._postgres = postgres
        self._random = random.Random(seed)
        self._scale = float(stack.environment["EVACUATE_TIME_SCALE"])
        self._not_struck: set[str] = set()
        self._struck_at = 0.0
        self._struck = asyncio.Event()
        self._seen: dict[str, str] = {}

    def play(self) -> list[Verdict]:
        self._set_faults()
        self._lose_source()
        with self._stack.services() as services:
            instances = {each.name: each for each in services.views.instances()}
        with self._stack.as_environment():
            outcomes, ended_at, phases = asyncio.run(self._evacuate(instances))
        with self._stack.services() as services:
            now = {each.name: each for each in services.views.instances()}
        ends = {name: how_it_ended(outcome, now[name]) for name, outcome in outcomes.items()}
        reasons = [
            outcomes_as_expected(self._cells, ends, outcomes),
            phases,
            undone_starts(self._stack, self._cells, {name: each.id for name, each in instances.items()}),
            self._strays(ends),
            self._mend(),
            self._look(),
            self._return(),
        ]
        return [self._verdict(cell, ends, ended_at, reasons) for cell in self._cells]

    def _lose_source(self) -> None:
        """It dies; or it is only frozen, or lives, and an operator says that it is off."""
        if self._kind.source == "answers":
            say_off(self._stack, SOURCE)
            return
        if self._kind.source == "hangs":
            os.kill(self._stack.worker(SOURCE), signal.SIGSTOP)
            return
        if self._kind.source == "freezes":
            os.kill(self._stack.worker(SOURCE), signal.SIGSTOP)
            answer = self._stack.run(["host", "down", SOURCE, "--confirmed-off", "wrong: it is only frozen"])
        else:
            answer = self._stack.run(f"host kill {SOURCE}")
        assert answer.code == 0, answer

    def _verdict(self, cell: Cell, ends: dict[str, str], ended_at: dict[str, float], reasons: list[Reasons]) -> Verdict:
        mine = [reason for each in reasons for reason in (*each.get(cell.instance, ()), *each.get(ANYBODY, ()))]
        if cell.instance in self._not_struck:
            mine.insert(0, f"the fault did not come to pass: {self._seen.get(cell.instance, '')}")
        took = ended_at.get(cell.instance, 0.0) - self._struck_at if self._struck_at else None
        return verdict(
            cell,
            "red" if mine else "green",
            outcome=ends.get(cell.instance, ""),
            seconds=round(took, 2) if took is not None and took > 0 else None,
            reasons=tuple(dict.fromkeys(mine)),
        )

    async def _evacuate(
        self, instances: dict[str, InstanceView]
    ) -> tuple[dict[str, EvacuationOutcome | None], dict[str, float], Reasons]:
        settings = settings_for()
        client = await connect(settings)
        evacuations = Evacuations(client, instances.values(), settings.tuning)
        asking: dict[str, asyncio.Task[None]] = {}
        try:
            await self._ask(evacuations, asking)
            await self._prelude(evacuations, instances)
            self._ask_hasty(evacuations, asking)
            strike = await self._strike(evacuations)
            asked = [asking[name] for name in (*self._names, *self._bystanders)]
            return await self._follow(evacuations, [*asked, *strike.again])
        finally:
            for task in asking.values():
                task.cancel()

    async def _ask(self, evacuations: Evacuations, asking: dict[str, asyncio.Task[None]]) -> None:
        """For all that can be held for long, until they are held, or wait for the prelude."""
        first = [cell for cell in self._cells if not self._is_hasty(cell)]
        asking |= {cell.instance: asyncio.create_task(evacuations.ask(cell.instance)) for cell in first}
        if len(first) < len(self._cells):
            at = {cell.instance: cell.step for cell in first if cell.route not in PRELUDE}
            await self._until_at(evacuations, at)

    def _ask_hasty(self, evacuations: Evacuations, asking: dict[str, asyncio.Task[None]]) -> None:
        hasty = [cell for cell in self._cells if self._is_hasty(cell)]
        asking |= {cell.instance: asyncio.create_task(evacuations.ask(cell.instance)) for cell in hasty}
        asking |= {name: asyncio.create_task(self._later(evacuations, name)) for name in self._bystanders}

    def _is_hasty(self, cell: Cell) -> bool:
        return self._kind.rule is None and cell.step in HASTY and cell.route not in PRELUDE

    async def _later(self, evacuations: Evacuations, name: str) -> None:
        if self._kind.first:
            await self._struck.wait()
        await asyncio.sleep(self._random.random() * JITTER)
        await evacuations.ask(name)

    async def _prelude(self, evacuations: Evacuations, instances: dict[str, InstanceView]) -> None:
        """What brings an evacuation to steps that it does not come to by itself."""
        spawning = [cell for cell in self._cells if cell.route in PRELUDE]
        if not spawning:
            return
        await self._until_at(evacuations, {cell.instance: "spawn_guest" for cell in spawning})
        for cell in spawning:
            if cell.route == "deleted":
                tuning = settings_for().tuning
                self._deleting = asyncio.create_task(delete(evacuations.client, instances[cell.instance], tuning))
        for cell in spawning:
            if cell.route == "silent":
                answer = await asyncio.to_thread(self._stack.run, f"host kill {homes(self._cells)[cell.instance]}")
                assert answer.code == 0, answer
        await asyncio.sleep(1.0)
        self._set_faults(prelude=False)

    async def _strike(self, evacuations: Evacuations) -> Strike:
        strike = Strike(self._stack, evacuations, self._postgres, self._scale, self._release)
        if self._kind.rule is None:
            late = await self._until_at(evacuations, {cell.instance: cell.step for cell in self._cells})
            if self._kind.at_destination:
                late |= await asyncio.to_thread(self._elsewhere)
            self._not_struck |= late
            await asyncio.sleep(self._random.random() * JITTER)
            self._struck_at = time.monotonic()
            await strike.do(self._kind.name, [name for name in self._names if name not in late])
            self._struck.set()
        return strike

    def _elsewhere(self) -> set[str]:
        """Whose attempt does not go where the fault is done. At its ending an evacuation goes nowhere any more."""
        going = {cell.instance for cell in self._cells if cell.route != "ending"}
        with self._stack.services() as services:
            to = {row.instance: row.destination for row in services.views.evacuations() if row.open}
        wrong = {name: host for name, host in to.items() if name in going and host not in (None, DESTINATION)}
        self._seen |= {name: f"it goes to {host}" for name, host in wrong.items()}
        return {*wrong}

    async def _until_at(self, evacuations: Evacuations, steps: dict[str, str]) -> set[str]:
        """Those that did not come to their step."""

        async def without(names: set[str]) -> set[str]:
            at = await asyncio.gather(*(evacuations.is_at(name, steps[name]) for name in sorted(names)))
            return {name for name, there in zip(sorted(names), at, strict=True) if not there}

        deadline, missing = time.monotonic() + ARRIVAL, set(steps)
        while missing and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            # Whoever was there first may have gone on while the others came.
            missing = await without(missing) or await without(set(steps))
        self._seen = {name: await evacuations.phase(name) for name in missing}
        return missing

    async def _follow(
        self, evacuations: Evacuations, asking: list[asyncio.Task[None]]
    ) -> tuple[dict[str, EvacuationOutcome | None], dict[str, float], Reasons]:
        """Every end, or where those are that do not come to one."""
        names = [*self._names, *self._bystanders]

        async def end(name: str, asked: asyncio.Task[None]) -> EvacuationOutcome | None:
            await asked
            return await evacuations.end_of(name)

        # Of who is asked for again, the first run's end is not the end.
        for task in asking[len(names) :]:
            await task
        tasks = {name: asyncio.create_task(end(name, task)) for name, task in zip(names, asking, strict=False)}
        deadline = time.monotonic() + self._patience
        while not all(task.done() for task in tasks.values()) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        stuck = [name for name, task in tasks.items() if not task.done()]
        phases = {name: [f"it goes on after {self._patience:g} s: {await evacuations.phase(name)}"] for name in stuck}
        for name in stuck:
            tasks[name].cancel()
        ended = {name: task.result() for name, task in tasks.items() if name not in stuck}
        if self._kind.rule is not None:
            self._not_struck |= self._without_strike()
        return ended, evacuations.ended_at, phases

    def _strays(self, ends: dict[str, str]) -> Reasons:
        """Those that nobody struck on purpose come back too."""
        found = [f"bystander {name} ended {ends.get(name, 'never')}" for name in self._bystanders]
        return {ANYBODY: [text for text in found if not text.endswith(" recovered")]}

    def _mend(self) -> Reasons:
        """What a person does: a worker that answers with errors is started again, and its return tells all; what was
        deleted and can be had back is put back."""
        self._stack.set_faults([])
        if self._kind.source == "answers":
            os.kill(self._stack.worker(SOURCE), signal.SIGKILL)
            self._stack.until(self._source_is_up, f"{SOURCE} is up again")
        if self._kind.name in ("object-gone", "host-row-gone"):
            gone.put_back(self._stack, host=self._kind.name == "host-row-gone")
        if self._kind.name == "store-restored":
            return {ANYBODY: list(restored.restore(self._stack, self._names))}
        return {}

    def _source_is_up(self) -> bool:
        return any((row.name, row.state) == (SOURCE, "up") for row in self._stack.world().rows.hosts)

    def _look(self) -> Reasons:
        """After what came too late has come, and every host that is on has reconciled its guests."""
        self._stack.set_faults([])
        time.sleep(LATE)
        for host in [host for host, boot in self._stack.world().boots.items() if boot is not None]:
            self._stack.run(f"host start {host} --no-wait")
        within = min(COMING, self._patience)
        deadline = time.monotonic() + within
        while (coming := not_up(self._stack.world())) and time.monotonic() < deadline:
            time.sleep(0.3)
        named = gone.NAMED.get(self._kind.name, frozenset[str]())
        found = invariants(self._stack, self._names, named=named)
        stuck = [f"{host} is on, and after {within:g} s it is not up" for host in coming]
        return found | {ANYBODY: [*found.get(ANYBODY, []), *stuck]}

    def _return(self) -> Reasons:
        """Every dead host comes back: what was evacuated stays away, what was not runs again."""
        off = [host for host, boot in self._stack.world().boots.items() if boot is None]
        answers = [self._stack.run(f"host start {host} --no-wait") for host in off]
        failed = [f"return of {host}: {answer}" for host, answer in zip(off, answers, strict=True) if answer.code]
        found = {name: [f"after the return: {r}" for r in reasons] for name, reasons in self._look().items()}
        return found | {ANYBODY: [*found.get(ANYBODY, []), *failed]}

    def _set_faults(self, *, prelude: bool = True) -> None:
        first = [rule for cell in self._cells for rule in route_rules(cell)]
        held = [rule for cell in self._cells for rule in prelude_rules(cell)] if prelude else []
        self._stack.set_faults([*held, *first, *map(cell_rule, self._cells)])

    def _release(self) -> None:
        self._stack.set_faults([rule for cell in self._cells for rule in route_rules(cell)])

    def _without_strike(self) -> set[str]:
        rules = read_faults(self._stack.faults)
        strikes = StateDir(Path(self._stack.environment["EVACUATE_STATE_DIR"])).strikes
        struck = {path.name.rsplit(".", 1)[0] for path in strikes.glob("*")}
        keys = dict(zip(keys_of(rules), rules, strict=True))
        return {str(rule.instance) for key, rule in keys.items() if rule.times == 1 and key not in struck}
