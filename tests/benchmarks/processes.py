"""The processes that are measured: what they cost, in memory and in processor time, by role."""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
GRACE = 5.0
NOT_A_USERS = frozenset({"PYTHONDONTWRITEBYTECODE"})
"""Where bytecode may not be written, the sandbox compiles the workflow's module for each run, on both sides."""


class Processes:
    """Child processes by role; ended by pid."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, role: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_A_USERS}
        with (self._logs / f"{role}-{len(self._children)}.log").open("wb") as log:
            child = subprocess.Popen(command, cwd=ROOT, env=inherited | dict(environment or {}), stdout=log, stderr=log)
        self._children.append((role, child))

    def start_python(self, role: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.start(role, [sys.executable, *arguments], environment)

    def pid_of(self, role: str) -> int:
        """Of the one that was started last."""
        return [child.pid for name, child in self._children if name == role][-1]

    def check(self) -> None:
        """Nobody ended on its own."""
        ended = [f"{role} ({child.returncode})" for role, child in self._children if child.poll() is not None]
        if ended:
            raise RuntimeError(f"ended: {', '.join(ended)}; see {self._logs}")

    def rss_mb(self) -> dict[str, float]:
        """Resident memory by role, in MiB; pages that processes share are counted in each."""
        sums: defaultdict[str, float] = defaultdict(float)
        for role, child in self._children:
            sums[role] += psutil.Process(child.pid).memory_info().rss / 2**20
        return dict(sums)

    def cpu_s(self) -> dict[str, float]:
        """Processor time by role since each began, in seconds."""
        sums: defaultdict[str, float] = defaultdict(float)
        for role, child in self._children:
            times = psutil.Process(child.pid).cpu_times()
            sums[role] += times.user + times.system
        return dict(sums)

    def end(self) -> None:
        for _, child in reversed(self._children):
            child.terminate()
        for _, child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)
            if child.poll() is None:
                child.kill()
                child.wait()


@contextmanager
def processes(logs: Path) -> Iterator[Processes]:
    started = Processes(logs)
    try:
        yield started
    finally:
        started.end()
