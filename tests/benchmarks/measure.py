"""One measurement: so many instances of one side, a window of them in flight."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from evacuation.model import Frozen
from tests.benchmarks.processes import Processes
from tests.benchmarks.sides import Side

WARM_UP = 0
"""The number of the instance that is moved before the clock starts."""


class Measured(Frozen):
    """Seconds are of the wall, from the request sent to the outcome received; `returns` are the moments at which
    instances were back, since the first request."""

    wall_s: float
    took: tuple[float, ...]
    returns: tuple[float, ...]
    history: dict[str, int]
    """Events of one history, by type."""
    rss_mb: dict[str, float]
    cpu_s: dict[str, float]


async def measure(side: Side, size: int, window: int, processes: Processes, server: Processes) -> Measured:
    await side.start(processes)
    warm = await side.request(WARM_UP)
    await warm.result()
    history = await _count_events(warm)
    before, began = server.cpu_s() | processes.cpu_s(), time.monotonic()
    results, spans = await _all(side, size, window)
    wall, after = time.monotonic() - began, server.cpu_s() | processes.cpu_s()
    side.check(results)
    return Measured(
        wall_s=wall,
        took=tuple(end - start for start, end in spans),
        returns=tuple(sorted(end - began for _, end in spans)),
        history=history,
        rss_mb=server.rss_mb() | processes.rss_mb(),
        cpu_s={role: after[role] - before[role] for role in after},
    )


async def _all(side: Side, size: int, window: int) -> tuple[list[Any], list[tuple[float, float]]]:
    gate = asyncio.Semaphore(window)

    async def one(number: int) -> tuple[Any, tuple[float, float]]:
        async with gate:
            start = time.monotonic()
            result = await (await side.request(number)).result()
            return result, (start, time.monotonic())

    done = await asyncio.gather(*(one(number) for number in range(1, size + 1)))
    return [result for result, _ in done], [span for _, span in done]


async def _count_events(handle: Any) -> dict[str, int]:
    history = await handle.fetch_history()
    return dict(sorted(Counter(_names(history.events)).items()))


def _names(events: Sequence[Any]) -> list[str]:
    return [event.WhichOneof("attributes").removesuffix("_event_attributes") for event in events]


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
