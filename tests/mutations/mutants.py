"""Every mutant of the modules, and a sample of them that is the same for the same seed and code."""

import ast
import difflib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

from tests.mutations.operators import operators
from tests.mutations.scope import MODULES, ROOT, files_of


@dataclass(frozen=True)
class Mutant:
    """One change of one line. `occurrence` counts the places where the operator applies in the file."""

    module: str
    file: str
    line: int
    column: int
    function: str
    operator: str
    occurrence: int

    def code(self, source: str) -> str:
        changed = mutate_code(source, operators()[self.operator], self.occurrence)
        assert changed is not None, f"{self} does not apply"
        compile(changed, self.file, "exec")
        return changed

    def change(self, source: str) -> tuple[str, str]:
        """The lines before and after, each as one."""
        lines = list(difflib.unified_diff(source.splitlines(), self.code(source).splitlines(), n=0, lineterm=""))[3:]
        before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
        return before, " ".join(line[1:].strip() for line in lines if line.startswith("+"))

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.function} {self.operator}"


def all_mutants() -> list[Mutant]:
    return [mutant for module in MODULES for path in files_of(module) for mutant in _of(module, path)]


def _of(module: str, path: Path) -> Iterator[Mutant]:
    source = path.read_text()
    tree, lines = ast.parse(source), source.splitlines()
    passed_over, outside, functions = set(_lines_without_effect(tree)), _Spans(_declarations(tree)), _functions(tree)
    for name, operator in operators().items():
        for occurrence, (line, column) in enumerate(_positions(source, operator)):
            is_star = lines[line - 1].startswith("*,", column)
            if line in passed_over or (line, column) in outside or is_star:
                continue
            yield Mutant(
                module=module,
                file=str(path.relative_to(ROOT)),
                line=line,
                column=column,
                function=functions.get(line, ""),
                operator=name,
                occurrence=occurrence,
            )


def _positions(source: str, operator: Operator) -> Iterator[tuple[int, int]]:
    """In the order in which Cosmic Ray counts the occurrences: each node before its children."""

    def walk(node: Any) -> Iterator[tuple[int, int]]:
        for start, _ in operator.mutation_positions(node):
            yield start
        for child in getattr(node, "children", ()):
            yield from walk(child)

    yield from walk(get_ast(source))


def _lines_without_effect(tree: ast.Module) -> Iterator[int]:
    """Imports, and what is for the type checker or a reader alone: docstrings, asserts that narrow a type."""
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom | ast.Assert):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


class _Spans:
    """Places in a file: (line, column) is in them or not."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self._spans = [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes]  # type: ignore[attr-defined]  # what a parsed node has

    def __contains__(self, place: tuple[int, int]) -> bool:
        return any(start <= place <= end for start, end in self._spans)


def _declarations(tree: ast.Module) -> Iterator[ast.AST]:
    """Annotations."""
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            found = getattr(node, field, None)
            if isinstance(found, ast.expr):
                yield found


def _functions(tree: ast.Module) -> dict[int, str]:
    """The innermost function of each line."""
    found: dict[int, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), node.name)
    return found


def sample(mutants: Iterable[Mutant], *, size: int, at_least: int, seed: int) -> list[Mutant]:
    """At least so many of each module (all, where it has fewer), then of all of them until it is enough. Of the mutants
    of one place one is taken, so that places count and not what can be done to them."""
    chance = random.Random(seed)
    by_place: dict[tuple[str, int, int], list[Mutant]] = {}
    for mutant in mutants:
        by_place.setdefault((mutant.file, mutant.line, mutant.column), []).append(mutant)
    candidates = [chance.choice(each) for each in by_place.values()]
    chance.shuffle(candidates)
    first = [m for module in MODULES for m in [c for c in candidates if c.module == module][:at_least]]
    taken = set(first)
    rest = [mutant for mutant in candidates if mutant not in taken]
    return sorted([*first, *rest[: max(0, size - len(first))]], key=lambda m: (m.file, m.line, m.column, m.operator))
