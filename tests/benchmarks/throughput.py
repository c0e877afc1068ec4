"""How many evacuations a second, beside what Temporal alone allows: python -m tests.benchmarks.throughput --help"""

import argparse
import asyncio
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from temporalio.client import Client

from embedded.namespace import wait_until_ready
from embedded.state import StateDir
from embedded.temporal_server import command, environment, free_address
from evacuation.model import Frozen
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from tests.benchmarks.measure import Measured, measure, median, percentile
from tests.benchmarks.processes import Processes, processes
from tests.benchmarks.sides import Baseline, Real, Side, settings_of
from tests.support.ending import end_early_when_told

SIDES: tuple[Callable[[Client, Settings, int], Side], ...] = (Real, Baseline)
WINDOW = 20


class Load(Frozen):
    """The same for both sides."""

    window: int
    control_workers: int


class Line(Frozen):
    """One line of the output: medians of all rounds of one size. `returns` are counted from the first request, as
    an operator would; `p50_s` and `p95_s` are of one evacuation, from its request to its outcome."""

    n: int
    rounds: int
    window: int
    control_workers: int
    wall_s: float
    evacuations_per_s: float
    p50_s: float
    p95_s: float
    first_back_s: float
    median_back_s: float
    history_events: int
    floor_evacuations_per_s: float
    ratio_to_floor: float
    rss_mb: float
    rss_mb_by_role: dict[str, float]
    cpu_s_per_evacuation: float
    cpu_s_by_role: dict[str, float]
    floor_cpu_s_per_evacuation: float
    floor_cpu_s_by_role: dict[str, float]


async def compare(directory: Path, size: int, rounds: int, load: Load) -> Line:
    """Both sides in turn on one server, each round with a store, a namespace and processes of its own."""
    with processes(directory / "server") as server:
        address = free_address()
        directory.mkdir(parents=True, exist_ok=True)
        server.start("temporal", command(StateDir(directory), address, None), environment())
        real: list[Measured] = []
        floor: list[Measured] = []
        for number in range(rounds):
            for make, found in zip(SIDES, (real, floor), strict=True):
                place = directory / f"{make.__name__.lower()}-{number}"
                found.append(await _one(make, place, address, server, size, load))
        require_equal_histories([*real, *floor])
        return summarise(size, load, real, floor)


async def _one(
    make: Callable[[Client, Settings, int], Side], place: Path, address: str, server: Processes, size: int, load: Load
) -> Measured:
    settings = settings_of(place, address, f"bench-{uuid.uuid4().hex[:8]}", load.control_workers)
    await wait_until_ready(settings, timeout=30)
    side = make(await connect(settings), settings, size)
    try:
        with processes(place / "logs") as started:
            return await measure(side, size, load.window, started, server)
    finally:
        side.close()


def require_equal_histories(measured: Sequence[Measured]) -> None:
    """The floor is a floor only if its history has the same events."""
    first = measured[0].history
    for other in measured[1:]:
        assert other.history == first, f"histories differ: {first} and {other.history}"


def summarise(size: int, load: Load, real: Sequence[Measured], floor: Sequence[Measured]) -> Line:
    rate, floor_rate = median([size / r.wall_s for r in real]), median([size / f.wall_s for f in floor])
    rss = {role: round(median([r.rss_mb[role] for r in real]), 1) for role in real[0].rss_mb}
    return Line(
        n=size,
        rounds=len(real),
        window=load.window,
        control_workers=load.control_workers,
        wall_s=round(median([r.wall_s for r in real]), 3),
        evacuations_per_s=round(rate, 3),
        p50_s=round(median([percentile(r.took, 50) for r in real]), 3),
        p95_s=round(median([percentile(r.took, 95) for r in real]), 3),
        first_back_s=round(median([r.returns[0] for r in real]), 3),
        median_back_s=round(median([percentile(r.returns, 50) for r in real]), 3),
        history_events=sum(real[0].history.values()),
        floor_evacuations_per_s=round(floor_rate, 3),
        ratio_to_floor=round(rate / floor_rate, 3),
        rss_mb=round(sum(rss.values()), 1),
        rss_mb_by_role=rss,
        cpu_s_per_evacuation=_cpu(size, real),
        cpu_s_by_role=_cpu_by_role(size, real),
        floor_cpu_s_per_evacuation=_cpu(size, floor),
        floor_cpu_s_by_role=_cpu_by_role(size, floor),
    )


def _cpu(size: int, measured: Sequence[Measured]) -> float:
    return round(median([sum(each.cpu_s.values()) for each in measured]) / size, 4)


def _cpu_by_role(size: int, measured: Sequence[Measured]) -> dict[str, float]:
    return {role: round(median([m.cpu_s[role] for m in measured]) / size, 4) for role in measured[0].cpu_s}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throughput", description=__doc__)
    parser.add_argument("--sizes", default="1,10,100,300", help="how many instances at once, each size in turn")
    parser.add_argument("--rounds", type=int, default=3, help="of each size and side; the lines are medians")
    parser.add_argument("--window", type=int, default=WINDOW, help="evacuations in flight at once")
    parser.add_argument(
        "--control-workers", type=int, default=Settings().control_workers, help="processes, the same on both sides"
    )
    parser.add_argument("--out", type=Path, help="a file for the lines, beside stdout")
    parser.add_argument("--directory", type=Path, help="for stores and logs, kept; else a temporary one")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, directory: Path, out: TextIO | None) -> list[Line]:
    lines: list[Line] = []
    load = Load(window=options.window, control_workers=options.control_workers)
    for size in [int(word) for word in options.sizes.split(",")]:
        line = asyncio.run(compare(directory / str(size), size, options.rounds, load))
        for stream in (sys.stdout, *([out] if out else [])):
            print(line.model_dump_json(), file=stream, flush=True)
        lines.append(line)
    return lines


def main(arguments: Sequence[str] | None = None) -> list[Line]:
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="evacuate-bench-") as temporary:
        directory = options.directory or Path(temporary)
        if options.out is None:
            return run(options, directory, None)
        with options.out.open("w", encoding="utf-8") as out:
            return run(options, directory, out)


if __name__ == "__main__":
    end_early_when_told()
    main()
