"""Machines for tests of fencing: each is a real process, and its power is whether that process lives."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil


class Machine:
    """Known by its directory, so that a BMC in another process switches it. `held`, `stuck`, `lies` and `says` are
    files: a power-off waits while the first is there, and does nothing while the second is; the third has how often
    its BMC still says that it is off, whatever it is; the last has which machine its BMC says it is, to the letter."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self._pid = root / f"{name}.pid"
        self.held = root / f"{name}.held"
        self.stuck = root / f"{name}.stuck"
        self.lies = root / f"{name}.lies"
        self.says = root / f"{name}.says"

    def power_on(self) -> None:
        sleeper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
        self.be(subprocess.Popen(sleeper).pid)

    def be(self, pid: int) -> None:
        """On, as that process."""
        fresh = self._pid.with_suffix(".new")
        fresh.write_text(str(pid))
        fresh.replace(self._pid)

    @property
    def is_on(self) -> bool:
        pid = self._read_pid()
        if pid is None:
            return False
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    @property
    def is_said_to_be_on(self) -> bool:
        """What its BMC says."""
        left = int(self.lies.read_text()) if self.lies.exists() else 0
        if left > 0:
            self.lies.write_text(str(left - 1))
        return left <= 0 and self.is_on

    def power_off(self) -> None:
        """As a BMC does it: the order is taken at once, and carried out when it is."""
        if self.stuck.exists():
            return
        while self.held.exists():
            time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        pid = self._read_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _read_pid(self) -> int | None:
        try:
            return int(self._pid.read_text())
        except FileNotFoundError:
            return None
