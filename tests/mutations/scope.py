"""What is mutated, and which tests are asked. The modules carry the guarantees; the suites run in one process."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MODULES = (
    "services/sql/ledger/authorize.py",
    "services/sql/ledger/begin.py",
    "services/sql/ledger/guard.py",
    "services/sql/ledger/evidence.py",
    "services/sql/hosts/returning.py",
    "services/cloud/sql/capacity.py",
    "workflows/evacuating/settling.py",
    "workflows/evacuating/backward.py",
    "workflows/engine/compensation.py",
    "workflows/engine/probing.py",
    "evacuation/transitions.py",
    "evacuation/placement.py",
    "evacuation/fencing.py",
    "evacuation/invariants",
)
"""A package counts as one."""
PACKAGES = ("activities", "evacuation", "services", "workflows")
SUITES = (
    "tests/unit",
    "tests/workflows",
    "tests/replay",
    "tests/activities",
    "tests/integration/sql",
    "tests/races",
    "tests/machines",
)


def files_of(module: str, root: Path = ROOT) -> list[Path]:
    path = root / module
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]
