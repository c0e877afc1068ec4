"""Which tests execute which line, and how long each takes: measured once, on the code as it is.

A line at the top level of a module is executed by its import, before any test. It stands for what it defines: the lines
that use that name, in whichever module, and the tests of the files that name it."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

from tests.mutations.mutants import Mutant
from tests.mutations.scope import PACKAGES, ROOT, SUITES

FILES = ("coverage.sqlite", "durations.jsonl")
MOST_HOPS = 3
"""A name of a table is used by a table that is used by a function."""


@dataclass(frozen=True)
class Covering:
    """`contexts`: by file and line, the tests that executed it."""

    contexts: dict[str, dict[int, frozenset[str]]]
    seconds: dict[str, float]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Those that execute the statement, the quickest first."""
        found = self._of_statement(mutant.file, mutant.line, MOST_HOPS)
        return sorted(found, key=lambda test: (self.seconds.get(test, 0.0), test))

    def _of_statement(self, file: str, line: int, hops: int) -> frozenset[str]:
        lines, names = _statement(file, line)
        direct = frozenset[str]().union(*(self.contexts.get(file, {}).get(each, frozenset()) for each in lines))
        if not names or not hops:
            return direct
        used = (
            self._of_statement(other, there, hops - 1)
            for other, there in _uses(names, PACKAGES)
            if other != file or there not in lines
        )
        return direct.union(self._named(names), *used)

    def _named(self, names: frozenset[str]) -> frozenset[str]:
        files = {file for file, _ in _uses(names, SUITES)}
        return frozenset(test for test in self.seconds if test.partition("::")[0] in files)


def measure(directory: Path, suites: Iterable[str] = SUITES) -> None:
    """Run the suites once under coverage. Raises CalledProcessError when one is not green."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FILES[1]).unlink(missing_ok=True)
    config = directory / "coveragerc"
    config.write_text(
        f"[run]\nsource = {','.join(PACKAGES)}\nconcurrency = thread\ndata_file = {directory / FILES[0]}\n"
    )
    options = [
        "--cov",
        f"--cov-config={config}",
        "--cov-context=test",
        "--cov-report=",
        "-p",
        "tests.mutations.durations",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", *options, *suites]
    environment = {**os.environ, "EVACUATE_TEST_DURATIONS": str(directory / FILES[1])}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def load(directory: Path) -> Covering:
    data = CoverageData(str(directory / FILES[0]))
    data.read()
    contexts: dict[str, dict[int, frozenset[str]]] = {}
    for path in data.measured_files():
        by_line = data.contexts_by_lineno(path)
        contexts[str(Path(path).relative_to(ROOT))] = {line: _tests(found) for line, found in by_line.items()}
    lines = (directory / FILES[1]).read_text().splitlines()
    return Covering(contexts, {each["test"]: each["seconds"] for each in map(json.loads, lines)})


def _tests(contexts: Iterable[str]) -> frozenset[str]:
    """Without the phase behind the bar, and without what no test did."""
    return frozenset(context.rpartition("|")[0] for context in contexts if context)


_trees: dict[str, ast.Module] = {}


def _tree(file: str) -> ast.Module:
    if file not in _trees:
        _trees[file] = ast.parse((ROOT / file).read_text())
    return _trees[file]


def _statement(file: str, line: int) -> tuple[range, frozenset[str]]:
    """The lines of the innermost statement there (of a compound one its head), and the names that it defines for
    others: none, if it is in a function's body."""
    found: ast.stmt | None = None
    inside = False
    for node, in_function in _statements(_tree(file), False):
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            found, inside = node, in_function
    if found is None:
        return range(line, line + 1), frozenset()
    body = getattr(found, "body", None)
    last = body[0].lineno - 1 if body and not isinstance(found, ast.Match) else found.end_lineno or found.lineno
    lines = range(found.lineno, max(last, line) + 1)
    return lines, frozenset() if inside else frozenset(_defined(file, found))


def _statements(node: ast.AST, in_function: bool) -> Iterator[tuple[ast.stmt, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child, in_function
        yield from _statements(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def _defined(file: str, statement: ast.stmt) -> Iterator[str]:
    """Names at the top level; a line in a class's body is that class."""
    for node in _tree(file).body:
        if not node.lineno <= statement.lineno <= (node.end_lineno or node.lineno):
            continue
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        for target in [*getattr(node, "targets", ()), getattr(node, "target", None)]:
            yield from (each.id for each in ast.walk(target or ast.Pass()) if isinstance(each, ast.Name))


def _uses(names: frozenset[str], places: Iterable[str]) -> Iterator[tuple[str, int]]:
    for package in places:
        for path in sorted((ROOT / package).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            for node in ast.walk(_tree(file)):
                if (isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load)) or (
                    isinstance(node, ast.Attribute) and node.attr in names
                ):
                    yield file, node.lineno
