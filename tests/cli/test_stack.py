"""The embedded stack as a whole: it comes up, keeps itself up, and leaves nothing behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from embedded.processes import guest_processes, stack_processes, supervisor_of, with_role
from embedded.state import StateDir
from embedded.temporal_server import environment
from services.hypervisors.process import ProcessHost
from tests.cli.conftest import Command, called, selected

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(180)


@contextmanager
def stack_in(path: Path) -> Iterator[StateDir]:
    """The default fleet, on its own Temporal; nothing of it is left afterwards."""
    with selected(path) as state:
        try:
            answer = called("up", "--detach")
            assert answer.code == 0, answer
            yield state
        finally:
            called("down")
            assert stack_processes(state.path) == []


@pytest.fixture
def up(tmp_path: Path) -> Iterator[StateDir]:
    """A stack that the test may end or damage."""
    with stack_in(tmp_path / "state") as state:
        yield state


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    """A stack of several tests: each leaves it as it was."""
    with stack_in(tmp_path_factory.mktemp("standing") / "state") as state:
        yield state


@pytest.fixture
def evacuate() -> Command:
    """On the stack that is selected."""
    return called


def metrics_of(server: psutil.Process) -> str:
    """The page is on a port of its own choice."""
    listening = (each.laddr.port for each in server.net_connections("tcp4") if each.status == psutil.CONN_LISTEN)
    for port in listening:
        with suppress(OSError, HTTPException):
            answer = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2).read().decode()
            if "persistence_latency" in answer:
                return answer
    return ""


def until(condition: Callable[[], bool], *, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.05)


def worker_of(path: Path, host: str) -> psutil.Process | None:
    return next((each for each in stack_processes(path) if _serves(each, host)), None)


def _serves(process: psutil.Process, host: str) -> bool:
    with suppress(psutil.Error):  # one that has ended since it was found
        return process.cmdline()[-2:] == ["--host", host]
    return False


def pids(processes: list[psutil.Process]) -> set[int]:
    return {process.pid for process in processes}


def test_up_returns_when_every_guest_runs_and_every_host_is_up(standing: StateDir, evacuate: Command) -> None:
    instances = evacuate("instance", "list", "--json").json
    wanted = {"active": "running", "stopped": "shutdown"}
    assert [each["power_state"] for each in instances] == [wanted[each["vm_state"]] for each in instances]
    assert {each["state"] for each in evacuate("host", "list", "--json").json} == {"up"}
    assert evacuate("check", "--json").json == []


def test_up_is_refused_when_the_state_directory_is_in_use(standing: StateDir, evacuate: Command) -> None:
    before = pids(stack_processes(standing.path))
    answer = evacuate("up", "--detach")
    assert (answer.code, "already" in answer.err, len(answer.err.splitlines())) == (2, True, 1)
    assert pids(stack_processes(standing.path)) == before
    assert evacuate("up").code == 2
    assert pids(stack_processes(standing.path)) == before, "a refused foreground `up` ends nobody's stack"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_in_the_foreground_ends_everything_when_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(ROOT / "starter.py"), "up"]
    with selected(tmp_path / "state") as state, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        assert any("Ctrl-C" in line for line in up.stderr)
        assert guest_processes(state.path, "cmp-1") != []
        up.send_signal(number)
        assert up.wait(60) == 0
        assert stack_processes(state.path) == []


def test_worker_is_refused_when_another_one_serves_its_host(standing: StateDir) -> None:
    command = [sys.executable, str(ROOT / "worker.py"), "host", "--host", "cmp-1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "running already" in done.stderr


def test_temporals_server_collects_early_and_counts_little(standing: StateDir) -> None:
    (server,) = with_role(standing.path, "temporal")
    assert server.environ()["GOGC"] == "50"
    metrics = metrics_of(server)
    assert "persistence_latency" in metrics and 'taskqueue="host' not in metrics


def test_users_own_word_on_the_collection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOGC", "200")
    assert environment() == {"GOGC": "200"}


def test_dead_worker_is_replaced_and_its_guests_are_untouched(standing: StateDir) -> None:
    worker, guests = worker_of(standing.path, "cmp-2"), pids(guest_processes(standing.path, "cmp-2"))
    assert worker is not None
    worker.kill()
    until(lambda: (new := worker_of(standing.path, "cmp-2")) is not None and new.pid != worker.pid)
    assert pids(guest_processes(standing.path, "cmp-2")) == guests != set()


def test_killed_host_stays_off_until_it_is_started_with_a_new_boot(standing: StateDir, evacuate: Command) -> None:
    host = ProcessHost(standing.path, "cmp-1")
    before = host.incarnation()
    assert evacuate("host", "kill", "cmp-1").code == 0
    assert host.is_off()
    states = {each["name"]: each["state"] for each in evacuate("host", "list", "--json").json}
    assert states["cmp-1"] == "up", "power loss tells the store nothing"
    assert evacuate("check").code == 0, "a dead host that waits is no breach"
    assert evacuate("host", "start", "cmp-1").code == 0
    assert host.incarnation() != before
    until(lambda: len(guest_processes(standing.path, "cmp-1")) == 3)
    assert evacuate("check", "--json").json == []


def test_down_leaves_nothing_when_the_supervisor_was_killed(up: StateDir, evacuate: Command) -> None:
    supervisor = supervisor_of(up.path)
    assert supervisor is not None
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait(10)
    assert stack_processes(up.path) != []
    assert evacuate("down").code == 0
    assert stack_processes(up.path) == []


def test_up_resumes_when_it_went_down_and_a_host_was_off(up: StateDir, evacuate: Command) -> None:
    evacuate("host", "kill", "cmp-4")
    ports, before = up.read_record(), ProcessHost(up.path, "cmp-2").incarnation()
    assert evacuate("down").code == 0
    answer = evacuate("up", "--detach")
    assert answer.code == 0, answer
    assert up.read_record() == ports
    assert ProcessHost(up.path, "cmp-4").is_off(), "switched off on purpose"
    assert ProcessHost(up.path, "cmp-2").incarnation() != before
    assert evacuate("check", "--json").json == []


def test_older_stack_keeps_its_partitions_and_what_lies_in_them(up: StateDir, evacuate: Command) -> None:
    assert partitions(up) == 1
    evacuate("down")
    older = json.loads(up.record.read_text())
    del older["queue_partitions"]
    up.record.write_text(json.dumps(older))
    for _ in range(2):
        assert evacuate("up", "--detach").code == 0
        assert partitions(up) == 4
        evacuate("down")


def partitions(state: StateDir) -> int:
    (server,) = with_role(state.path, "temporal")
    words = [word for word in server.cmdline() if word.startswith("matching.numTaskqueue")]
    (number,) = {int(word.rsplit("=", 1)[1]) for word in words}
    assert len(words) == 2
    return number


def test_two_stacks_run_side_by_side(standing: StateDir, evacuate: Command, tmp_path: Path) -> None:
    other = tmp_path / "other"
    try:
        answer = evacuate("up", "--detach", "--state-dir", str(other))
        assert answer.code == 0, answer
        assert evacuate("host", "kill", "cmp-1", "--state-dir", str(other)).code == 0
        assert guest_processes(standing.path, "cmp-1") != []
    finally:
        assert evacuate("down", "--state-dir", str(other)).code == 0
    assert stack_processes(other) == []
    assert supervisor_of(standing.path) is not None
