"""How long the short waits of one evacuation take on a real server: python -m tests.benchmarks.waits --help

The evacuation is the real workflow on fakes that take no time. Its source's power reads off, so that the grace is
waited for, and its first claim of capacity fails, so that one retry is.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from embedded.namespace import wait_until_ready
from embedded.temporal_server import DYNAMIC
from evacuation.errors import CapacityNotYetError
from evacuation.model import Frozen
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from tests.support.stack import temporal_server
from tests.workflows.conftest import Run, serve
from tests.workflows.fakes import FakeCloud

SETTING = "history.timerProcessorMaxTimeShift"


@dataclass(frozen=True)
class Server:
    """What the workers of the fakes are started on."""

    client: Client


class Waits(Frozen):
    """Medians, in seconds, by the times of the events. `grace_s`: from the source's question to its fence."""

    time_shift: str
    rounds: int
    evacuation_s: float
    grace_s: float
    retry_s: float


Round = tuple[float, float, float]
"""The same three of one evacuation."""


@contextmanager
def server(directory: Path, time_shift: str | None) -> Iterator[str]:
    """With the embedded stack's options, or another time shift than its own."""
    options = () if time_shift is None else ("--dynamic-config-value", f'{SETTING}="{time_shift}"')
    with temporal_server(directory, *options) as address:
        yield address


async def rounds_of(settings: Settings, rounds: int) -> list[Round]:
    """One more, before them, is not counted."""
    await wait_until_ready(settings, timeout=30)
    client = await connect(settings)
    return [await _one(client) for _ in range(rounds + 1)][1:]


def summarise(found: Sequence[Round], time_shift: str) -> Waits:
    whole, grace, retry = (round(statistics.median(each), 3) for each in zip(*found, strict=True))
    return Waits(time_shift=time_shift, rounds=len(found), evacuation_s=whole, grace_s=grace, retry_s=retry)


async def _one(client: Client) -> Round:
    cloud = FakeCloud()
    cloud.reads_off = True
    cloud.answers("claim_capacity", CapacityNotYetError("not now"))
    async with AsyncExitStack() as stack:
        evacuation: Run = (await serve(stack, Server(client), cloud)).at_full_scale()
        assert (await evacuation.outcome()).outcome == "recovered"
        assert evacuation.handle is not None
        events = list((await evacuation.handle.fetch_history()).events)
    asked, fenced = _at(_scheduled(events, "probe_host")), _at(_scheduled(events, "fence_source"))
    claim = _scheduled(events, "claim_capacity")
    return _at(events[-1]) - _at(events[0]), fenced - asked, _at(_started(events, claim)) - _at(claim)


def _scheduled(events: Sequence[HistoryEvent], activity: str) -> HistoryEvent:
    return next(e for e in events if e.activity_task_scheduled_event_attributes.activity_type.name == activity)


def _started(events: Sequence[HistoryEvent], scheduled: HistoryEvent) -> HistoryEvent:
    """Of the execution that ended it."""
    return next(e for e in events if e.activity_task_started_event_attributes.scheduled_event_id == scheduled.event_id)


def _at(event: HistoryEvent) -> float:
    return event.event_time.ToMicroseconds() / 1e6


def embedded_time_shift() -> str:
    """As the embedded stack sets it."""
    return next(value.partition("=")[2].strip('"') for value in DYNAMIC if value.startswith(SETTING))


def main(arguments: Sequence[str] | None = None) -> Waits:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waits", description="The short waits.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--time-shift", help="instead of the embedded stack's own; 1s is the server's default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="evacuate-waits-") as name, server(Path(name), options.time_shift) as at:
        found = asyncio.run(rounds_of(Settings(temporal_address=at, state_dir=Path(name)), options.rounds))
    waits = summarise(found, options.time_shift or embedded_time_shift())
    print(waits.model_dump_json(), file=sys.stdout)
    return waits


if __name__ == "__main__":
    main()
