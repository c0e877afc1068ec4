"""The matrix and the soak leave a clean machine when they are told to end in the midst of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from embedded.processes import ROLE

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
MARK = "EVACUATE_TEST_MARK"
"""In the environment of the program, and so of everything that it starts."""
PATIENCE = 90.0
ENDING = 10.0
"""Seconds within which what only waits for the program's end, as Python's own tracker of resources, has ended."""
PROGRAMS = {
    "matrix": ["tests.chaos", "--kind", "fail", "--locks", "on", "--out", "out"],
    "soak": ["tests.soak", "--minutes", "2"],
}
WAYS = {"SIGTERM": os.kill, "SIGINT": os.killpg}
"""As a supervisor does it, and as Ctrl-C does it: to all in the terminal's foreground."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_left_of(program: str, way: str, tmp_path: Path):
    number, temporary = signal.Signals[way], tmp_path / "tmp"
    temporary.mkdir()
    environment = os.environ | {MARK: str(tmp_path), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *PROGRAMS[program]]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        until(lambda: "host" in roles(tmp_path), "a host's worker runs")
        WAYS[way](process.pid, number)
        assert process.wait(PATIENCE) == 128 + number
        until(lambda: marked(tmp_path) == [], "what it started ends with it", ENDING)
        assert list(temporary.iterdir()) == []
    finally:
        for each in marked(tmp_path):
            each.kill()


def marked(directory: Path) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if environment_of(each).get(MARK) == str(directory)]


def roles(directory: Path) -> set[str]:
    return {environment_of(each).get(ROLE, "") for each in marked(directory)}


def environment_of(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error, OSError):
        return process.environ()
    return {}


def until(what: Callable[[], bool], message: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not what():
        assert time.monotonic() < deadline, message
        time.sleep(0.1)
