"""What a driver of hosts' power may need to know."""

from dataclasses import dataclass
from pathlib import Path

from evacuation.ports import Identities


@dataclass(frozen=True, kw_only=True)
class FenceOptions:
    """`root` is the directory of the process hypervisors; `bmc_file` says how the BMCs are reached, and may name
    another driver for a host; `bmc_timeout` is in seconds; `identities`: whose machines they have to be."""

    root: Path
    bmc_file: Path | None = None
    bmc_timeout: float = 8.0
    identities: Identities | None = None
