"""One mutant against the tests that execute its line, in a copy of the tree."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from tests.mutations.covering import Covering
from tests.mutations.mutants import Mutant
from tests.mutations.scope import ROOT, SUITES

FIRST = 40
"""So many quick tests are asked before all the others: most mutants end there."""
LONGEST = 240.0
"""Seconds for one run of tests that take 90: what is not over then does not end."""
WRITES_NOTHING = "PYTHONDONTWRITEBYTECODE"
"""The next mutant must not find what this one was compiled to."""
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".evacuate", "__pycache__", ".*_cache", ".hypothesis", "build", "dist"
)


@dataclass(frozen=True)
class Result:
    """`by`: the test that killed it. `asked`: how many tests execute the line."""

    mutant: Mutant
    state: Literal["killed", "survived", "uncovered"]
    asked: int
    by: str = ""


def play(mutants: list[Mutant], covering: Covering, *, jobs: int, most_seconds: float) -> Iterator[Result]:
    """In the order given. Several at once, each in a copy of its own."""
    copies: SimpleQueue[Path] = SimpleQueue()

    def one(mutant: Mutant) -> Result:
        copy = copies.get()
        try:
            return _judge(mutant, _within(covering, mutant, most_seconds), copy)
        finally:
            copies.put(copy)

    with tempfile.TemporaryDirectory(prefix="evacuate-mutants-") as directory, ThreadPoolExecutor(jobs) as pool:
        for number in range(jobs):
            copies.put(_copy(Path(directory) / str(number)))
        yield from pool.map(one, mutants)


def _copy(to: Path) -> Path:
    """Compiled, so that a run compiles no more than its mutant."""
    shutil.copytree(ROOT, to, ignore=LEFT_OUT)
    collect = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", *SUITES]
    environment = {name: value for name, value in os.environ.items() if name != WRITES_NOTHING}
    for words in (["-m", "compileall", "-q", "."], collect):
        subprocess.run([sys.executable, *words], cwd=to, env=environment, capture_output=True, check=True)
    return to


def _within(covering: Covering, mutant: Mutant, most_seconds: float) -> list[str]:
    """The quickest ones, as long as they take no longer together."""
    kept, left = [], most_seconds
    for test in covering.tests_of(mutant):
        left -= covering.seconds.get(test, 0.0)
        if left < 0 and kept:
            break
        kept.append(test)
    return kept


def _judge(mutant: Mutant, tests: list[str], copy: Path) -> Result:
    if not tests:
        return Result(mutant, "uncovered", 0)
    path = copy / mutant.file
    source = path.read_text()
    path.write_text(mutant.code(source))
    try:
        by = next((killer for part in (tests[:FIRST], tests[FIRST:]) if part and (killer := _killer(part, copy))), "")
    finally:
        path.write_text(source)
    return Result(mutant, "killed" if by else "survived", len(tests), by)


def _killer(tests: list[str], copy: Path) -> str:
    """The first test that fails; "" if all pass. What does not end is dead, too."""
    listed = copy / ".tests"
    listed.write_text("\n".join(tests))
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-o", "timeout=30"]
    command = [sys.executable, "-m", "pytest", *options, f"@{listed}"]
    environment = os.environ | {WRITES_NOTHING: "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return "(it did not end)"
    if done.returncode == 0:
        return ""
    failed = (line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    return next(failed, "(nothing could be imported)")
