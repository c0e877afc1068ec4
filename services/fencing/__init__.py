"""Drivers that read and cut the power of hosts."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, assert_never

from evacuation.errors import BmcFileError
from evacuation.ports import FencingDriver, Identities
from services.fencing.operator import OperatorFencing
from services.fencing.process import ProcessFencing

FencingKind = Literal["process", "operator", "redfish", "ipmi"]

__all__ = ["FencingKind", "OperatorFencing", "ProcessFencing", "fencing_driver"]


def fencing_driver(
    kind: FencingKind,
    root: Path,
    *,
    bmc_file: Path | None = None,
    bmc_timeout: float = 8.0,
    identities: Identities | None = None,
) -> FencingDriver:
    """The driver of that kind. `root` is the directory of the process hypervisors; `bmc_file` says how the BMCs are
    reached, and may name another driver for a host; `identities` whose machines they have to be. Raises
    BmcFileError."""
    match kind:
        case "process":
            return ProcessFencing(root)
        case "operator":
            return OperatorFencing()
        case "redfish" | "ipmi":
            if bmc_file is None:
                raise BmcFileError(f"EVACUATE_FENCING={kind} needs a BMC file", remedy="name it: EVACUATE_BMC_FILE")
            if find_spec("sushy" if kind == "redfish" else "pyghmi") is None:
                raise BmcFileError(
                    f"EVACUATE_FENCING={kind} needs a package that is not installed",
                    remedy="install the extra: pip install evacuate[bmc]",
                )
            from services.fencing.bmc import BmcFencing
            from services.fencing.bmc_file import BmcFile

            return BmcFencing(BmcFile(bmc_file, kind), kind=kind, timeout=bmc_timeout, identities=identities)
        case _:
            assert_never(kind)
