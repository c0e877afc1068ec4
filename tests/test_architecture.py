"""Who may import whom, and where things are."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = {
    "activities",
    "cli",
    "control",
    "embedded",
    "evacuation",
    "services",
    "starter",
    "worker",
    "workers",
    "workflows",
}
MAY_IMPORT = {
    "evacuation": {"evacuation", "pydantic", "pydantic_core", "annotated_types"},
    "activities": {"activities", "evacuation", "temporalio"},
    "workflows": {"workflows", "activities", "evacuation", "temporalio"},
    "control": {"control", "evacuation", "services", "temporalio"},
}
"""Beside the standard library. The others: `services` nothing of ours but `evacuation` and `services`."""
LONG = {
    "services/hypervisors/libvirt/helper.py": "a program of its own: the standard library and libvirt-python alone",
    "services/sql/migrations/versions/0001_first_schema.py": "generated",
}
"""Modules over 300 lines, each with the reason."""


def modules(package: str) -> Iterator[Path]:
    yield from (path for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level names of what the module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_imports_only_what_it_may(package: str):
    for path in modules(package):
        foreign = set(imported(path)) - sys.stdlib_module_names - MAY_IMPORT[package]
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def test_services_import_nothing_that_uses_them():
    for path in modules("services"):
        foreign = set(imported(path)) & (OWN - {"services", "evacuation"})
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def dependencies() -> dict[str, set[str]]:
    """Of each module, those that it imports when it is imported itself."""
    paths = {dotted(path): path for package in OWN - {"starter", "worker"} for path in modules(package)}
    known = set(paths)
    return {name: {*imports_of(path, known)} & known - {name} for name, path in paths.items()}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, known: set[str]) -> Iterator[str]:
    blocks = [ast.parse(path.read_text()).body]
    blocks += [node.body for node in blocks[0] if isinstance(node, ast.With)]
    for node in chain.from_iterable(blocks):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            named = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (each if each in known else node.module or "" for each in named)


def test_command_line_asks_control_for_what_it_shows():
    """Of services it has the settings, and the forms of what it reads and prints."""
    for path in modules("cli"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not named.startswith(("workflows", "workers", "activities")), path
            assert not named.startswith("services") or named.startswith("services.runtime."), path


def test_no_modules_import_each_other_in_a_circle():
    graph = dependencies()
    assert len(graph) > 300
    TopologicalSorter(graph).prepare()


def test_parts_of_evacuations_and_of_starts_are_imported_by_their_stories_only():
    stories = {"workflows.evacuating": {"workflows.evacuate_instance"}}
    stories["workflows.powering"] = {
        "workflows.start_instance",
        "workflows.stop_instance",
        "workflows.evacuating.adopted",
    }
    for package, own in stories.items():
        for name, imported in dependencies().items():
            if any(each.startswith(f"{package}.") for each in imported):
                assert name in own or name.startswith(f"{package}."), name


def test_embedded_stack_is_imported_by_nobody_but_the_programs():
    """What belongs to one machine must not be needed by what serves many: but for faults, which tests ask for."""
    for package in OWN - {"starter", "worker", "embedded"}:
        for path in modules(package):
            assert "embedded" not in set(imported(path)) or path == ROOT / "workers/serving.py", path
            assert "cli" not in set(imported(path)) or package == "cli", path


def test_store_imports_no_hypervisor():
    """Nor do services, and what is said of definitions: they must be able to stand where no hypervisor is."""
    for package in ("services/sql", "services/cloud/sql", "services/definitions"):
        for path in modules(package):
            for node in ast.walk(ast.parse(path.read_text())):
                named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                assert not any(each.startswith(("services.hypervisors", "services.fencing")) for each in named), path


def test_nothing_imports_the_tests():
    for package in OWN - {"starter", "worker"}:
        for path in modules(package):
            assert "tests" not in set(imported(path)), path


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}\nprint(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import workflows.all", {"services", "sqlmodel", "sqlalchemy", "embedded"}),
        ("import workers.host", {"sqlmodel", "sqlalchemy", "embedded"}),
        ("import starter", {"temporalio", "sqlmodel", "sqlalchemy", "pydantic", "rich"}),
        (
            "import contextlib, io, starter; sys.argv = ['evacuate', '--help']\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): starter.main()\n",
            {"temporalio", "sqlmodel", "sqlalchemy", "pydantic", "rich"},
        ),
        (
            "from services.sql import open_services; import services.sql.read.views",
            {"temporalio", "structlog", "xml", "alembic"},
        ),
        (
            "import cli.evacuations, cli.several, cli.retrying, control.requests, cli.in_place",
            {"sqlmodel", "sqlalchemy", "embedded", "structlog", "workflows"},
        ),
        ("import evacuation.ports, evacuation.request", {"temporalio", "sqlmodel", "services"}),
        (
            "import embedded.supervisor; from services.drivers import VOLUMES; VOLUMES['sql']().has_daemon",
            {"temporalio", "sqlmodel", "sqlalchemy"},
        ),
    ],
    ids=[
        "workflows",
        "host worker",
        "starter",
        "help",
        "a read of the store",
        "what asks Temporal",
        "domain",
        "supervisor",
    ],
)
def test_import_does_not_load(statement: str, never: set[str]):
    assert not loaded_by(statement) & never


@pytest.mark.parametrize(
    "path", ["pyproject.toml", "workflows", "activities", "worker.py", "starter.py", "tests", "deploy", ".ci/run"]
)
def test_layout_has(path: str):
    assert (ROOT / path).exists()


def test_what_is_installed_and_what_gets_into_the_image_has_every_package():
    """The image's context is a list of what gets in: a package that is missing there is missing first in production."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {name.removesuffix("*") for name in setuptools["packages"]["find"]["include"]}
    context = {line.removeprefix("!").removesuffix(".py") for line in (ROOT / ".dockerignore").read_text().split()}
    assert packages | {*setuptools["py-modules"]} == OWN and context >= OWN


def test_allocations_are_written_in_one_module():
    """Elsewhere their table is only read: no row, and no statement but a select, is made of it."""
    others = {*modules("services/sql"), *modules("services/cloud")} - {ROOT / "services/cloud/sql/allocations.py"}
    for path in others:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and "AllocationRow" in " ".join(map(ast.unparse, (node.func, *node.args))):
                function = ast.unparse(node.func)
                assert function not in ("AllocationRow", "insert", "update", "delete", "add", "add_all", "write"), path


def test_modules_are_short():
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in OWN - {"starter", "worker"}
        for path in modules(package)
    }
    assert {path for path, lines in sizes.items() if lines > 300} == set(LONG)


def test_every_workflow_is_served():
    from workflows.all import ALL

    defined = {
        node.name
        for path in modules("workflows")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and any("workflow.defn" in ast.unparse(d) for d in node.decorator_list)
    }
    assert {workflow.__name__ for workflow in ALL} == defined


def test_no_activity_is_interrupted_by_an_exception_from_elsewhere():
    """Raised in the middle of an import it leaves half a module behind, for as long as the worker lives."""
    for path in modules("activities"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                for decorator in map(ast.unparse, node.decorator_list):
                    assert "activity.defn" not in decorator or "no_thread_cancel_exception=True" in decorator, path
