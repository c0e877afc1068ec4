"""Drivers that read and cut the power of hosts."""

from pathlib import Path
from typing import Literal, assert_never

from evacuation.ports import FencingDriver
from services.fencing.operator import OperatorFencing
from services.fencing.process import ProcessFencing

FencingKind = Literal["process", "operator"]

__all__ = ["FencingKind", "OperatorFencing", "ProcessFencing", "fencing_driver"]


def fencing_driver(kind: FencingKind, root: Path) -> FencingDriver:
    """The driver of that kind. `root` is the directory of the process hypervisors."""
    match kind:
        case "process":
            return ProcessFencing(root)
        case "operator":
            return OperatorFencing()
        case _:
            assert_never(kind)
