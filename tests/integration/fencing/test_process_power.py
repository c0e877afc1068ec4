"""The power of process hosts: what dies, what is remembered, and when a host counts as off."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from evacuation.errors import CutOverError, DestinationUnableError, FenceFailedError, HostOffError
from services.drivers import FENCES
from services.fencing import FenceOptions, OperatorFencing, ProcessFencing
from services.hypervisors.process import ProcessHost
from services.hypervisors.process.table import processes_of
from services.runtime.durable_files import write
from services.runtime.locks import LockHeldError, file_lock
from tests.integration.hypervisors.worlds import ProcessWorld, eventually, process_world, spawn, spec

WORKER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""


@contextmanager
def worker_like(
    directory: Path, host: str, *options: str, state_dir: Path | None = None
) -> Generator["subprocess.Popen[bytes]"]:
    """A process that looks like a host worker, and its child, started in that directory."""
    program = directory / "worker.py"
    program.write_text(WORKER, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "EVACUATE_STATE_DIR"}
    worker = subprocess.Popen(
        [sys.executable, str(program), "host", "--host", host, *options],
        env=environment | ({"EVACUATE_STATE_DIR": str(state_dir)} if state_dir else {}),
        cwd=directory,
        stdout=subprocess.PIPE,
    )
    child: psutil.Process | None = None
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"up\n"
        (child,) = psutil.Process(worker.pid).children()
        yield worker
    finally:
        worker.kill()
        worker.wait()
        if worker.stdout:
            worker.stdout.close()
        if child and child.is_running():
            child.kill()


def nothing() -> None:
    pass


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)


def test_power_off_kills_guests_and_workers_when_they_are_frozen(processes: ProcessWorld, tmp_path: Path) -> None:
    processes.root.make_disks(["frozen", "running"])
    spawn(processes.hypervisor("cmp-1"), spec(1, instance_id="frozen"))
    spawn(processes.hypervisor("cmp-1"), spec(1, instance_id="running"))
    for pid in list(processes.pids("cmp-1"))[:1]:
        freeze(pid)
    with worker_like(tmp_path, "cmp-1", state_dir=processes.path) as worker:
        freeze(worker.pid)
        doomed = processes_of(processes.root, "cmp-1")
        assert len(doomed) == 4
        processes.host("cmp-1").power_off()
        assert worker.wait(5) == -signal.SIGKILL
    assert processes_of(processes.root, "cmp-1") == []
    assert processes.host("cmp-1").is_off()


def test_power_off_finds_the_worker_when_its_state_directory_is_an_option_or_the_default(tmp_path: Path) -> None:
    with (
        process_world(tmp_path / ".evacuate") as processes,
        worker_like(tmp_path, "cmp-1", "--state-dir", ".evacuate") as told,
        worker_like(tmp_path, "cmp-2") as by_default,
    ):
        processes.host("cmp-1").power_off()
        assert told.wait(5) == -signal.SIGKILL
        assert by_default.poll() is None
        processes.host("cmp-2").power_off()
        assert by_default.wait(5) == -signal.SIGKILL


def test_power_off_spares_other_hosts_and_other_state_directories(processes: ProcessWorld, tmp_path: Path) -> None:
    spawn(processes.hypervisor("cmp-2"), spec(1))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with (
        worker_like(tmp_path, "cmp-2", state_dir=processes.path) as neighbour,
        worker_like(elsewhere, "cmp-1", state_dir=elsewhere) as namesake,
    ):
        processes.host("cmp-1").power_off()
        assert neighbour.poll() is None
        assert namesake.poll() is None
    assert len(processes.pids("cmp-2")) == 1


def test_host_is_off_only_when_it_is_marked_and_nothing_is_left(processes: ProcessWorld) -> None:
    host = processes.host("cmp-1")
    assert not host.is_off()
    spawn(processes.hypervisor("cmp-1"), spec(1))
    write(host.layout.power, host.power().model_copy(update={"off": True}))
    assert not host.is_off()
    host.power_off()
    assert host.is_off()
    host.power_off()
    assert host.is_off()


def test_power_on_gives_a_new_incarnation_when_the_host_was_off(processes: ProcessWorld) -> None:
    host = processes.host("cmp-1")
    before = host.power()
    assert host.power_on() == before.incarnation
    host.power_off()
    assert host.incarnation() == before.incarnation
    assert host.power_on() != before.incarnation
    assert host.power().hypervisor_uuid == before.hypervisor_uuid
    assert not host.is_off()


def test_power_on_leaves_nothing_of_the_boot_before_when_the_power_off_was_interrupted(
    processes: ProcessWorld,
) -> None:
    host = processes.host("cmp-1")
    spawn(processes.hypervisor("cmp-1"), spec(1))
    write(host.layout.power, host.power().model_copy(update={"off": True}))
    host.power_on()
    assert processes.pids("cmp-1") == set()


def test_boot_gives_a_new_incarnation_and_ends_the_guests_when_the_workers_start_is_the_hosts(
    processes: ProcessWorld,
) -> None:
    host, other = processes.host("cmp-1"), processes.host("cmp-2")
    spawn(processes.hypervisor("cmp-1"), spec(1))
    before, untouched = host.power(), other.power()
    assert host.boot() != before.incarnation
    assert processes.pids("cmp-1") == set()
    assert (host.power().hypervisor_uuid, host.is_off()) == (before.hypervisor_uuid, False)
    assert other.power() == untouched


def test_boot_is_refused_when_the_host_was_switched_off(processes: ProcessWorld) -> None:
    host = processes.host("cmp-1")
    host.power_off()
    with pytest.raises(HostOffError):
        host.boot()
    assert host.is_off()


def test_boot_makes_the_host_when_it_was_never_on(tmp_path: Path) -> None:
    host = ProcessHost(tmp_path, "cmp-9")
    assert host.boot() == host.require_on().incarnation


def test_host_is_off_when_the_machine_was_booted_since(processes: ProcessWorld) -> None:
    host = processes.host("cmp-1")
    before = host.power()
    write(host.layout.power, before.model_copy(update={"boot": "an earlier one"}))
    assert host.is_off()
    assert host.power_on() != before.incarnation


def test_power_off_keeps_definitions_and_power_on_starts_nothing(processes: ProcessWorld) -> None:
    host = processes.host("cmp-1")
    spawn(processes.hypervisor("cmp-1"), spec(1))
    host.power_off()
    host.power_on()
    (guest,) = processes.hypervisor("cmp-1").inventory()
    assert (guest.epoch, guest.power_state) == (1, "shutdown")


def test_power_off_wins_when_spawns_go_on(processes: ProcessWorld) -> None:
    """A driver that nobody kills keeps on spawning: no guest of the old boot writes once the host is off."""
    started = threading.Event()
    refused: list[BaseException] = []

    def keep_spawning(prefix: str) -> None:
        for n in range(1000):
            try:
                spawn(processes.hypervisor("cmp-1"), spec(1, instance_id=f"{prefix}-{n}"))
            except DestinationUnableError as error:
                refused.append(error)
                return
            except Exception:
                continue  # killed while it started
            started.set()

    processes.root.make_disks(f"{prefix}-{n}" for prefix in "abc" for n in range(1000))
    threads = [threading.Thread(target=keep_spawning, args=(prefix,)) for prefix in "abc"]
    for thread in threads:
        thread.start()
    assert started.wait(20)
    processes.host("cmp-1").power_off()
    written = {disk: disk.stat().st_size for disk in processes.root.disks.glob("*.disk")}
    for thread in threads:
        thread.join(20)
    assert len(refused) == 3
    assert processes.host("cmp-1").is_off()
    assert {disk: disk.stat().st_size for disk in processes.root.disks.glob("*.disk")} == written


def test_power_off_waits_when_a_worker_is_being_started(processes: ProcessWorld) -> None:
    host = processes.host("cmp-1")
    beats = threading.Event()
    fence = threading.Thread(target=lambda: processes.host("cmp-1").power_off(beats.set))
    with host.power_lock():
        fence.start()
        assert beats.wait(10)
        assert not host.is_marked_off()
    fence.join(20)
    assert host.is_off()


def test_power_off_refuses_when_the_caller_runs_on_that_host(processes: ProcessWorld) -> None:
    program = processes.path / "worker.py"
    program.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from evacuation.errors import FenceFailedError\n"
        "from services.hypervisors.process import ProcessHost\n"
        "try:\n"
        f"    ProcessHost(Path({str(processes.path)!r}), 'cmp-1').power_off()\n"
        "except FenceFailedError as error:\n"
        "    sys.exit(7)\n",
        encoding="utf-8",
    )
    repository = Path(__file__).resolve().parents[3]
    worker = subprocess.run(
        [sys.executable, str(program), "host", "--host", "cmp-1"],
        env={**os.environ, "EVACUATE_STATE_DIR": str(processes.path), "PYTHONPATH": str(repository)},
        timeout=30,
        check=False,
    )
    assert worker.returncode == 7
    assert not processes.host("cmp-1").is_marked_off()


def test_process_fencing_reads_and_cuts_the_power(processes: ProcessWorld) -> None:
    fencing = FENCES["process"](FenceOptions(root=processes.path))
    spawn(processes.hypervisor("cmp-1"), spec(1))
    assert fencing.is_able("cmp-1")
    assert not fencing.is_off("cmp-1")
    fencing.power_off("cmp-1", None, last_look=nothing, beat=nothing)
    assert fencing.is_off("cmp-1")
    assert processes.pids("cmp-1") == set()


def test_process_fencing_cuts_no_other_boot_than_was_meant(processes: ProcessWorld) -> None:
    fencing, host = ProcessFencing(processes.path), processes.host("cmp-1")
    meant = fencing.boot_of("cmp-1")
    host.power_off()
    host.power_on()
    spawn(processes.hypervisor("cmp-1"), spec(1))
    there = processes.pids("cmp-1")
    with pytest.raises(CutOverError) as caught:
        fencing.power_off("cmp-1", meant, last_look=nothing, beat=nothing)
    assert caught.value.retryable
    assert (processes.pids("cmp-1"), host.is_marked_off()) == (there, False)
    fencing.power_off("cmp-1", fencing.boot_of("cmp-1"), last_look=nothing, beat=nothing)
    fencing.power_off("cmp-1", meant, last_look=nothing, beat=nothing)
    assert host.is_off()


def test_process_fencing_takes_its_last_look_under_the_power_lock(processes: ProcessWorld) -> None:
    looked: list[bool] = []

    def call_off() -> None:
        try:
            with file_lock(processes.host("cmp-1").layout.power_lock, wait=0):
                looked.append(False)
        except LockHeldError:
            looked.append(True)
        raise CutOverError("it is over")

    spawn(processes.hypervisor("cmp-1"), spec(1))
    there = processes.pids("cmp-1")
    with pytest.raises(CutOverError):
        ProcessFencing(processes.path).power_off("cmp-1", None, last_look=call_off, beat=nothing)
    assert (looked, processes.pids("cmp-1"), processes.host("cmp-1").is_marked_off()) == ([True], there, False)


@pytest.mark.parametrize("host", ["cmp-9", "../cmp-1", ""])
def test_process_fencing_is_not_able_when_the_host_is_unknown(processes: ProcessWorld, host: str) -> None:
    fencing = ProcessFencing(processes.path)
    assert not fencing.is_able(host)
    with pytest.raises(FenceFailedError):
        fencing.is_off(host)
    with pytest.raises(FenceFailedError):
        fencing.power_off(host, None, last_look=nothing, beat=nothing)


def test_operator_fencing_leaves_it_to_the_operators_word() -> None:
    fencing = OperatorFencing()
    assert not fencing.is_able("cmp-1")
    with pytest.raises(FenceFailedError, match="power state"):
        fencing.is_off("cmp-1")
    with pytest.raises(FenceFailedError, match="switch"):
        fencing.power_off("cmp-1", None, last_look=nothing, beat=nothing)
