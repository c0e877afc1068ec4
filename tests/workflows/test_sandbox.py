"""What the sandbox lets pass is looked at by nobody while it runs: so it is looked at here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.sandbox import HELPERS

ROOT = Path(__file__).parent.parent.parent
HARMLESS = {"contextlib", "asyncio", "collections", "dataclasses", "datetime", "enum", "typing"}
OURS = {"activities", "evacuation", "temporalio", "workflows"}
NOT_A_STORY = {"workflows.__init__", "workflows.all", "workflows.sandbox"}
ASKS_THE_MACHINE = {"now", "utcnow", "today", "time", "monotonic", "to_thread", "run_in_executor", "open"}


def tree_of(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())


def roots(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def calls(tree: ast.Module) -> Iterator[str]:
    """What is called, as it is written; `workflow.now()` and the like are the workflow's own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            written = ast.unparse(node.func)
            if not written.startswith("workflow."):
                yield written.rsplit(".", 1)[-1]


def test_helpers_are_all_modules_that_define_no_workflow():
    modules = {f"workflows.{path.stem}" for path in (ROOT / "workflows").glob("*.py")} - NOT_A_STORY
    defining = {module for module in modules if "workflow.defn" in ast.unparse(tree_of(module))}
    assert modules - defining == set(HELPERS)


@pytest.mark.parametrize("module", HELPERS)
def test_helper_imports_only_what_is_deterministic(module: str):
    assert set(roots(tree_of(module))) <= HARMLESS | OURS


@pytest.mark.parametrize("module", HELPERS)
def test_helper_asks_neither_clock_nor_machine(module: str):
    assert not set(calls(tree_of(module))) & ASKS_THE_MACHINE


@pytest.mark.parametrize("module", HELPERS)
def test_helper_keeps_no_state_of_its_own(module: str):
    assert not [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.Global | ast.Nonlocal)]
