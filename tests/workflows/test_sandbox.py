"""What the sandbox lets pass is looked at by nobody while it runs: so it is looked at here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.engine.sandbox import HELPERS

ROOT = Path(__file__).parent.parent.parent
HARMLESS = {"contextlib", "asyncio", "collections", "dataclasses", "datetime", "enum", "typing"}
OURS = {"activities", "evacuation", "temporalio", "workflows"}
NO_PART_OF_A_RUN = {
    "workflows",
    "workflows.all",
    "workflows.engine",
    "workflows.evacuating",
    "workflows.powering",
    "workflows.engine.sandbox",
}
ASKS_THE_MACHINE = {"now", "utcnow", "today", "time", "monotonic", "to_thread", "run_in_executor", "open"}


def modules() -> Iterator[str]:
    for path in sorted((ROOT / "workflows").rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_passed_through(module: str) -> bool:
    return any(module == helper or module.startswith(f"{helper}.") for helper in HELPERS)


PASSED = [module for module in modules() if is_passed_through(module) and module not in NO_PART_OF_A_RUN]


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
    others = set(modules()) - NO_PART_OF_A_RUN
    defining = {module for module in others if "workflow.defn" in ast.unparse(tree_of(module))}
    assert others - defining == set(PASSED)


@pytest.mark.parametrize("module", PASSED)
def test_helper_imports_only_what_is_deterministic(module: str):
    assert set(roots(tree_of(module))) <= HARMLESS | OURS


@pytest.mark.parametrize("module", PASSED)
def test_helper_asks_neither_clock_nor_machine(module: str):
    assert not set(calls(tree_of(module))) & ASKS_THE_MACHINE


@pytest.mark.parametrize("module", PASSED)
def test_helper_keeps_no_state_of_its_own(module: str):
    assert not [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.Global | ast.Nonlocal)]
