"""Guests as real processes: what survives, what is found again, and what their disks say."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from evacuation import messages as m
from evacuation.errors import DestinationUnableError, HostOffError, NobodyWaitsError, SpawnFailedError
from evacuation.model import RootDisk
from services.hypervisors.process import ProcessHost, ProcessHypervisor, launch
from services.hypervisors.process.disk import breaches, runs
from services.runtime.durable_files import remove_durably, write
from tests.integration.hypervisors import drive
from tests.integration.hypervisors.worlds import INSTANCE, ProcessWorld, call, eventually, spawn, spec

REPOSITORY = Path(__file__).resolve().parents[3]


def driver(world: ProcessWorld, *words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.integration.hypervisors.drive", str(world.path), *words]
    return subprocess.Popen(command, cwd=REPOSITORY)


def test_spawn_makes_one_process_when_repeated(processes: ProcessWorld) -> None:
    hypervisor = processes.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    first = processes.pids("cmp-1")
    spawn(hypervisor, spec(1))
    assert processes.pids("cmp-1") == first
    assert len(first) == 1


def test_guest_is_nobodys_child_and_has_a_group_of_its_own(processes: ProcessWorld) -> None:
    spawn(processes.hypervisor("cmp-1"), spec(1))
    (pid,) = processes.pids("cmp-1")
    assert psutil.Process(pid).ppid() != os.getpid()
    assert os.getpgid(pid) != os.getpgid(0)


def test_spawn_finds_the_guest_when_its_definition_was_erased(processes: ProcessWorld) -> None:
    hypervisor = processes.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    before = processes.pids("cmp-1")
    remove_durably(processes.root.host("cmp-1").definition(INSTANCE))
    assert [guest.epoch for guest in hypervisor.inventory()] == [1]
    spawn(hypervisor, spec(1))
    assert processes.pids("cmp-1") == before
    assert processes.root.host("cmp-1").definition(INSTANCE).exists()


@pytest.mark.parametrize("kill_at", ["waiting", "web-01 is up"])
def test_spawn_ends_with_one_guest_when_its_driver_was_killed(processes: ProcessWorld, kill_at: str) -> None:
    assert driver(processes, "spawn", "1", INSTANCE, kill_at).wait(30) == -signal.SIGKILL
    spawn(processes.hypervisor("cmp-1"), spec(1))
    assert len(processes.pids("cmp-1")) == 1
    eventually(lambda: len(processes.journal()) > 3)
    assert [(run.epoch, run.host) for run in runs(processes.journal())] == [(1, "cmp-1")]
    assert breaches(processes.journal()) == []


@pytest.mark.parametrize("kill_at", ["waiting", "web-01 is up"])
def test_settle_knows_the_outcome_when_the_driver_was_killed(processes: ProcessWorld, kill_at: str) -> None:
    assert driver(processes, "spawn", "1", INSTANCE, kill_at).wait(30) == -signal.SIGKILL
    assert processes.hypervisor("cmp-1").settle(call(1))
    assert len(processes.pids("cmp-1")) == 1


def test_destroy_leaves_nothing_when_the_driver_was_killed_in_mid_create(processes: ProcessWorld) -> None:
    assert driver(processes, "spawn", "1", INSTANCE, "waiting").wait(30) == -signal.SIGKILL
    processes.hypervisor("cmp-1").destroy(INSTANCE, 1)
    assert processes.hypervisor("cmp-1").inventory() == ()
    assert processes.pids("cmp-1") == set()


def test_spawn_and_destroy_leave_no_guest_when_two_processes_race(processes: ProcessWorld) -> None:
    processes.root.make_disks(f"vm-{n}" for n in range(4))
    rivals = [driver(processes, what, "1", f"vm-{n}") for n in range(4) for what in ("spawn", "destroy")]
    codes = [rival.wait(60) for rival in rivals]
    assert set(codes[::2]) <= {0, drive.CALLED_OFF}
    assert set(codes[1::2]) == {0}
    assert processes.hypervisor("cmp-1").inventory() == ()


def test_counter_continues_when_the_guest_moves_to_another_host(processes: ProcessWorld) -> None:
    spawn(processes.hypervisor("cmp-1"), spec(1))
    eventually(lambda: len(processes.journal()) >= 2)
    processes.hypervisor("cmp-1").destroy(INSTANCE, 1)
    spawn(processes.hypervisor("cmp-2"), spec(2))
    first, second = runs(processes.journal())
    assert (first.host, second.host) == ("cmp-1", "cmp-2")
    assert second.first.counter == first.last.counter + 1
    assert breaches(processes.journal()) == []


def test_counter_continues_when_the_last_line_is_torn(processes: ProcessWorld) -> None:
    spawn(processes.hypervisor("cmp-1"), spec(1))
    processes.hypervisor("cmp-1").destroy(INSTANCE, 1)
    counter = processes.journal()[-1].counter
    with processes.root.disk(INSTANCE).open("ab") as disk:
        disk.write(f"{counter + 1} 1 cmp-1 {INSTANCE} 17".encode())
    spawn(processes.hypervisor("cmp-2"), spec(2))
    assert processes.journal()[-1].counter >= counter + 1
    assert breaches(processes.journal()) == []


def test_breaches_show_two_writers_when_the_disk_lock_is_off(processes: ProcessWorld) -> None:
    spawn(processes.hypervisor("cmp-1", disk_lock=False), spec(1))
    spawn(processes.hypervisor("cmp-2", disk_lock=False), spec(2))
    eventually(lambda: breaches(processes.journal()))
    assert "two guests wrote to one disk" in breaches(processes.journal())[0]


def test_pause_stops_the_writing_until_spawned_again(processes: ProcessWorld) -> None:
    hypervisor = processes.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    hypervisor.pause(INSTANCE, 1)
    paused = processes.journal()
    processes.root.make_disks(["clock"])
    spawn(hypervisor, spec(1, instance_id="clock"))
    eventually(lambda: len(processes.journal("clock")) > 3)
    assert processes.journal() == paused
    spawn(hypervisor, spec(1))
    eventually(lambda: len(processes.journal()) > len(paused))
    assert breaches(processes.journal()) == []


def test_destroy_keeps_the_shared_disk(processes: ProcessWorld) -> None:
    hypervisor = processes.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    hypervisor.destroy(INSTANCE, 1)
    assert processes.journal()


def test_tombstone_outlives_the_driver_and_the_boot(processes: ProcessWorld) -> None:
    processes.hypervisor("cmp-1").destroy(INSTANCE, 2)
    processes.host("cmp-1").power_off()
    processes.host("cmp-1").power_on()
    assert not processes.hypervisor("cmp-1").settle(call(2))


def test_spawn_leaves_nothing_when_the_guest_gives_no_sign_of_life(
    processes: ProcessWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor = ProcessHypervisor(processes.path, "cmp-1", start_timeout=0.0, poll=0.0)
    with monkeypatch.context() as patch, pytest.raises(SpawnFailedError, match="no sign of life"):
        # However quick the guest is, and however slow this test.
        patch.setattr(launch, "recent_records", lambda *_, **__: [])
        spawn(hypervisor, spec(1))
    assert hypervisor.inventory() == ()
    spawn(processes.hypervisor("cmp-1"), spec(1))


def test_spawn_leaves_nothing_when_its_last_beat_fails(processes: ProcessWorld) -> None:
    hypervisor = processes.hypervisor("cmp-1")

    def beat(progress: str) -> None:
        if progress == "web-01 is up":
            raise NobodyWaitsError("the activity is over")

    with pytest.raises(NobodyWaitsError):
        hypervisor.spawn(spec(1), last_look=lambda: None, beat=beat)
    assert processes.pids("cmp-1") == set()
    assert hypervisor.inventory() == ()


def test_prepare_answers_everybody_when_many_ask_at_once(processes: ProcessWorld) -> None:
    about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
    message = m.PrepareDestination(call=about, instance_id=INSTANCE, name="web-01", epoch=1, root_disk=RootDisk.SHARED)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(processes.hypervisor("cmp-1").prepare, [message] * 40))
    assert {answer.host for answer in answers} == {"cmp-1"}


def test_spawn_leaves_nothing_when_the_disks_cannot_be_written(processes: ProcessWorld) -> None:
    processes.root.disk(INSTANCE).unlink()
    processes.root.disk(INSTANCE).mkdir()
    with pytest.raises(DestinationUnableError, match="is a directory, not a file"):
        spawn(processes.hypervisor("cmp-1"), spec(1))
    assert processes.hypervisor("cmp-1").inventory() == ()


def test_prepare_refuses_when_the_shared_disks_are_not_visible(processes: ProcessWorld) -> None:
    processes.root.disks.rename(processes.path / "elsewhere")
    about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
    message = m.PrepareDestination(call=about, instance_id=INSTANCE, name="web-01", epoch=1, root_disk=RootDisk.SHARED)
    with pytest.raises(DestinationUnableError, match="not visible"):
        processes.hypervisor("cmp-1").prepare(message)


def test_driver_serves_nothing_when_its_host_is_off(processes: ProcessWorld) -> None:
    processes.host("cmp-1").power_off()
    with pytest.raises(HostOffError):
        processes.hypervisor("cmp-1").identity()
    with pytest.raises(DestinationUnableError, match="powered off"):
        spawn(processes.hypervisor("cmp-1"), spec(1))
    assert processes.journal() == []


@pytest.mark.parametrize("written", ["indented", "without what is not so"])
def test_guest_starts_on_a_host_whose_power_was_written_by_hand(processes: ProcessWorld, written: str) -> None:
    file = processes.host("cmp-1").layout.power
    fields = json.loads(file.read_text())
    if written != "indented":
        del fields["off"]
    file.write_text(json.dumps(fields, indent=2))
    spawn(processes.hypervisor("cmp-1"), spec(1))
    assert len(processes.pids("cmp-1")) == 1


@pytest.mark.parametrize("changed", [{"off": True}, {"incarnation": "another"}], ids=["off", "another boot"])
def test_guest_ends_when_a_hand_has_written_that_its_boot_is_over(
    processes: ProcessWorld, changed: dict[str, object]
) -> None:
    file = processes.host("cmp-1").layout.power
    fields = json.loads(file.read_text()) | changed

    def by_hand() -> None:
        file.write_text(json.dumps(fields, indent=2))

    with pytest.raises(DestinationUnableError, match="powered off"):
        processes.hypervisor("cmp-1").spawn(spec(1), last_look=by_hand, beat=lambda _: None)
    assert processes.journal() == []


def test_guest_ends_before_it_writes_when_its_boot_is_over(processes: ProcessWorld) -> None:
    """The driver has read that the host is on, and is slow: the host is off when the guest looks."""
    host: ProcessHost = processes.host("cmp-1")
    off = host.power().model_copy(update={"off": True})
    with pytest.raises(DestinationUnableError, match="powered off"):
        processes.hypervisor("cmp-1").spawn(
            spec(1), last_look=lambda: write(host.layout.power, off), beat=lambda _: None
        )
    assert processes.journal() == []
