"""Keeps the processes of an embedded stack running: Temporal, control workers, one worker per powered host, and the
storage service if its volumes need one.

Run as `python -m embedded.supervisor` with the state directory in the environment; ends everything on SIGTERM."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded.processes import ROLE, end_all, guest_processes, with_role
from embedded.state import StateDir
from embedded.temporal_server import command as temporal_command
from embedded.temporal_server import environment as temporal_environment
from evacuation.errors import EvacuateError, FenceFailedError, HypervisorUnavailableError
from services.drivers import VOLUMES
from services.hypervisors.process import ProcessHost, ProcessRoot
from services.runtime.settings import Settings
from services.runtime.stack_record import settings_for

POLL = 0.1
CALM = 5.0
"""Seconds that a process must have lived for its end to be no crash loop."""
PAUSE = 1.0
WORKER_GRACE = 10.0
TEMPORAL_GRACE = 8.0
PROGRAM = Path(__file__).resolve().parent.parent / "worker.py"


@dataclass
class Child:
    process: subprocess.Popen[bytes]
    started: float


class Supervisor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = StateDir(settings.state_dir)
        self._root = ProcessRoot(settings.state_dir)
        self._children: dict[str, Child] = {}
        self._not_before: dict[str, float] = {}
        self._stopping = False
        self._said: set[str] = set()
        self._has_storage_daemon = VOLUMES[settings.volumes]().has_daemon

    def run(self) -> None:
        """Returns when SIGTERM or SIGINT came and everything has ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            self._tend_all()
            time.sleep(POLL)
        self._end()

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _tend_all(self) -> None:
        record = self._state.read_record()
        if record is not None and record.own_temporal:
            self._tend("temporal", lambda: temporal_command(self._state, record.temporal_address, record.ui_address))
        if self._has_storage_daemon:
            self._tend("storage", lambda: [sys.executable, str(PROGRAM), "storage"])
        for number in range(1, self._settings.control_workers + 1):
            self._tend(f"control-{number}", lambda: [sys.executable, str(PROGRAM), "control"])
        for host in self._root.hosts():
            self._tend_host(host)

    def _tend_host(self, host: str) -> None:
        """Started only under the power lock, when the mark is not set: a host that is being switched off stays off. One
        whose power cannot be read is not started, and does not keep the others from it."""
        if self._is_running(f"host-{host}"):
            return
        power = ProcessHost(self._settings.state_dir, host, timeout=0)
        try:
            with power.power_lock():
                if not power.is_marked_off():
                    arguments = [sys.executable, str(PROGRAM), "host", "--host", host]
                    self._tend(f"host-{host}", lambda: arguments)
        except FenceFailedError:
            return
        except HypervisorUnavailableError as error:
            self._say_once(f"{host} is not started: {error.line}")

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            print(line, file=sys.stderr, flush=True)

    def _is_running(self, name: str) -> bool:
        child = self._children.get(name)
        if child is None:
            return False
        if child.process.poll() is None:
            return True
        self._note_end(name, child)
        return False

    def _note_end(self, name: str, child: Child) -> None:
        del self._children[name]
        code, lived = child.process.returncode, time.monotonic() - child.started
        print(f"{name} (pid {child.process.pid}) ended with {code} after {lived:.1f} s", file=sys.stderr, flush=True)
        if lived < CALM and code >= 0:
            self._not_before[name] = time.monotonic() + PAUSE

    def _tend(self, name: str, command: Callable[[], Sequence[str]]) -> None:
        if not self._is_running(name) and time.monotonic() >= self._not_before.get(name, 0):
            self._children[name] = Child(self._start(name, command()), time.monotonic())

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self._state.logs.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {ROLE: name.split("-")[0], "EVACUATE_STATE_DIR": str(self._state.path)}
        if name == "temporal":
            environment |= temporal_environment()
        with (self._state.logs / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def _end(self) -> None:
        """Workers first, then guests, then Temporal: nobody is left to start what was just ended."""
        path = self._state.path
        end_all(lambda: with_role(path, "control", "host"), grace=WORKER_GRACE, timeout=10)
        for host in self._root.hosts():
            end_all(lambda host=host: guest_processes(path, host), grace=2, timeout=10)
        # The storage daemon has its service's role, and guests their disks from it.
        end_all(lambda: with_role(path, "storage"), grace=2, timeout=10)
        end_all(lambda: with_role(path, "temporal"), grace=TEMPORAL_GRACE, timeout=10)


def main() -> None:
    try:
        Supervisor(settings_for()).run()
    except EvacuateError as error:
        sys.exit(f"error: {error.line}")


if __name__ == "__main__":
    main()
