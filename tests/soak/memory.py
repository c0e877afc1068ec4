"""Resident memory of every process of a stack, by role, and how it grows."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from embedded.processes import ROLE, with_role
from evacuation.model import Frozen

WARM_UP = 180.0
"""Seconds of a process's life in which it may still fill its caches."""
SHORTEST = 240.0
"""Seconds of samples below which a slope says more about one step than about the process: what is done for the first
time may take three MiB once, and a collector lets a heap rise and fall within a minute."""
MOST_GROWTH = 1.0
"""MiB a minute."""


class Series(Frozen):
    """One process: (seconds since the soak began, MiB)."""

    role: str
    pid: int
    born: float
    samples: tuple[tuple[float, float], ...] = ()

    @property
    def judged(self) -> tuple[tuple[float, float], ...]:
        """Those after the warm-up; none if they are too few to say anything."""
        warm = tuple(each for each in self.samples if each[0] - self.born >= WARM_UP)
        return warm if len(warm) > 2 and warm[-1][0] - warm[0][0] >= SHORTEST else ()

    @property
    def growth(self) -> float | None:
        """MiB a minute after the warm-up, by least squares. None: it did not live long enough to be judged."""
        return slope(self.judged) * 60 if self.judged else None


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Least squares, in units of y for each of x."""
    points = list(points)
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


class Memory:
    """Every process that a stack started itself: a restarted one begins a series of its own."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._series: dict[tuple[int, float], Series] = {}

    def sample(self, at: float) -> None:
        """`at`: seconds since the soak began. Looks through the process table."""
        for process in with_role(self._state_dir):
            with suppress(psutil.Error, OSError):
                self._note(process, at)

    def _note(self, process: psutil.Process, at: float) -> None:
        key = process.pid, process.create_time()
        if key not in self._series:
            self._series[key] = Series(role=role_of(process), pid=process.pid, born=at)
        series, point = self._series[key], (round(at, 1), round(process.memory_info().rss / 2**20, 2))
        self._series[key] = series.model_copy(update={"samples": (*series.samples, point)})

    @property
    def series(self) -> tuple[Series, ...]:
        return tuple(self._series.values())

    def now(self) -> dict[str, tuple[float, ...]]:
        """MiB by role, of the processes that were there at the last sample, oldest first."""
        newest = max((each.samples[-1][0] for each in self.series), default=0.0)
        found: dict[str, tuple[float, ...]] = {}
        for each in sorted(self.series, key=lambda s: (s.role, s.born, s.pid)):
            if each.samples[-1][0] == newest:
                found[each.role] = (*found.get(each.role, ()), each.samples[-1][1])
        return found

    def growth(self) -> dict[str, float]:
        """MiB a minute by role: of the process that grew most. Roles whose processes lived too shortly are absent."""
        found: dict[str, float] = {}
        for each in self.series:
            if each.growth is not None:
                found[each.role] = round(max(each.growth, found.get(each.role, each.growth)), 2)
        return dict(sorted(found.items()))


def growing(series: Iterable[Series]) -> Iterator[str]:
    """One line for each process that grows too fast."""
    for each in series:
        if each.growth is not None and each.growth >= MOST_GROWTH:
            first, last = each.judged[0], each.judged[-1]
            yield (
                f"memory: {each.role} (pid {each.pid}) grows by {each.growth:.2f} MiB a minute: "
                f"{first[1]:.0f} MiB at {first[0]:.0f} s, {last[1]:.0f} MiB at {last[0]:.0f} s"
            )


def unjudged(series: Iterable[Series], kinds: Iterable[str]) -> Iterator[str]:
    """One line for each kind of process of which none lived long enough: of that nothing is shown."""
    judged = {each.role.split()[0] for each in series if each.growth is not None}
    yield from (f"memory: no {kind} process lived long enough to be judged" for kind in kinds if kind not in judged)


def role_of(process: psutil.Process) -> str:
    """supervisor, temporal, control, or the host worker's host."""
    role, words = process.environ()[ROLE], process.cmdline()
    return f"host {words[words.index('--host') + 1]}" if role == "host" and "--host" in words else role
