"""Which processes are guests, and when one of them is gone."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.hypervisors.libvirt import processes
from services.hypervisors.libvirt.helper import peers
from services.hypervisors.libvirt.processes import Processes, Qemu, owner_in
from tests.integration.hypervisors.worlds import eventually
from tests.support.qemus import IGNORES, LEADER_ENDS, Qemus, qemus

A = "aaaaaaaa-0000-4000-8000-000000000001"
HOST = Processes(Path("/proc"))


@pytest.fixture
def instance() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def fake() -> Iterator[Qemus]:
    with qemus() as started:
        yield started


def of(instance: str) -> list[Qemu]:
    return [each for each in HOST.all() if each.instance_id == instance]


@pytest.mark.parametrize(
    ("command", "is_ours"),
    [
        (f"/usr/bin/qemu-system-x86_64 -name guest=vm1 -uuid {A} -S", True),
        (f"/usr/bin/qemu-system-x86_64 --uuid {A.upper()}", True),
        (f"/usr/libexec/qemu-kvm -uuid {A}", True),
        (f"kvm -uuid {A}", True),
        (f"/opt/vendor/emulator -name guest=vm1,debug-threads=on -uuid {A}", True),
        (f"qemu-system-x86_64 -uuid {uuid.uuid4()} -uuid {A}", True),
        (f"grep -r -uuid {A} /etc", False),
        (f"/usr/bin/swtpm socket --tpmstate dir=/var/lib/libvirt/swtpm/{A}/tpm2", False),
        (f"/usr/libexec/virtiofsd --fd=31 -o source=/srv/{A}", False),
        (f"qemu-img convert /srv/{A}.qcow2 /srv/copy", False),
        ("qemu-system-x86_64 -S -no-user-config -nodefaults -machine none", False),
        ("qemu-system-x86_64 -uuid nonsense", False),
        ("qemu-system-x86_64 -uuid", False),
    ],
)
def test_command_line_says_whose_qemu_it_is(command: str, is_ours: bool) -> None:
    assert owner_in(command.split(" ")) == (A if is_ours else None)


def test_qemu_is_found_and_ended_by_being_asked_to(fake: Qemus, instance: str) -> None:
    process = fake.start(instance.upper())
    [found] = of(instance)
    assert (found.pid, found.stopped) == (process.pid, False)
    assert HOST.end(found)
    assert process.wait(5) == -signal.SIGTERM
    assert of(instance) == []


def test_qemu_that_does_not_end_is_killed(fake: Qemus, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ENDS", ((signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0)))
    process = fake.start(instance, does=IGNORES)
    assert HOST.end(of(instance)[0])
    assert process.wait(5) == -signal.SIGKILL


def test_qemu_that_lives_on_is_not_gone(fake: Qemus, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ENDS", ((signal.SIGTERM, 0.1),))
    fake.start(instance, does=IGNORES)
    [found] = of(instance)
    assert not HOST.end(found)
    assert HOST.is_alive(found)


def test_stopped_qemu_makes_no_progress_and_can_be_ended(fake: Qemus, instance: str) -> None:
    fake.start(instance)
    assert HOST.stop(of(instance)[0])
    [found] = of(instance)
    assert found.stopped
    assert HOST.end(found)


def test_zombie_is_gone(fake: Qemus, instance: str) -> None:
    process = fake.start(instance)
    [found] = of(instance)
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert not HOST.is_alive(found)
    assert of(instance) == []


def test_qemu_whose_first_thread_ended_is_found_by_the_others_and_not_gone(fake: Qemus, instance: str) -> None:
    process = fake.start(instance, does=LEADER_ENDS)
    eventually(lambda: not Path(f"/proc/{process.pid}/cmdline").read_bytes())
    [found] = of(instance)
    assert HOST.is_alive(found)
    assert HOST.end(found)


def test_nothing_is_sent_to_another_process_that_has_got_the_pid(fake: Qemus, instance: str) -> None:
    process = fake.start(instance)
    [found] = of(instance)
    earlier = Qemu(pid=found.pid, started="1", instance_id=instance)
    assert not HOST.is_alive(earlier)
    assert HOST.end(earlier)
    assert process.poll() is None


def entry(proc: Path, pid: int, *, state: str, flags: int, comm: str = "qemu-system-x86", cmdline: str = "") -> None:
    """As the kernel lists one that no test can make."""
    for folder in (proc / str(pid), proc / str(pid) / "task" / str(pid)):
        folder.mkdir(parents=True)
        (folder / "cmdline").write_text(cmdline)
        (folder / "comm").write_text(comm + "\n")
        (folder / "stat").write_text(f"{pid} ({comm}) {state} 1 1 1 0 -1 {flags} " + "0 " * 12 + "4711 0 0\n")


def test_qemu_that_ends_and_hangs_is_nobodys_and_not_gone(tmp_path: Path) -> None:
    """Its memory is gone, and with it the command line; what it has begun to write is not."""
    entry(tmp_path, 7, state="D", flags=0x4)
    entry(tmp_path, 8, state="Z", flags=0x4)
    entry(tmp_path, 9, state="S", flags=0x200000, comm="kvm-nx-lpage-re")
    entry(tmp_path, 10, state="D", flags=0x4, comm="bash")
    assert Processes(tmp_path).all() == (Qemu(pid=7, started="4711", instance_id=None),)


def test_qemu_that_waits_for_its_disks_is_alive(tmp_path: Path) -> None:
    entry(tmp_path, 7, state="D", flags=0, cmdline=f"/usr/bin/qemu-system-x86_64\0-uuid\0{A}\0")
    found = Processes(tmp_path)
    assert [each.instance_id for each in found.all()] == [A]
    assert found.is_alive(found.all()[0])


def test_process_table_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        Processes(tmp_path / "nowhere").all()


LOOKS = """
import runpy, socket, sys
helper = runpy.run_path(sys.argv[1])
if len(sys.argv) > 2:
    end = socket.socket(socket.AF_UNIX)
    end.connect(sys.argv[2])
print(*helper["peers"]())
"""


def test_helper_sees_who_is_at_the_other_end_of_its_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "sock"))
        daemon.listen()
        program = peers.__code__.co_filename
        for given, seen in (([], ""), ([str(tmp_path / "sock")], str(os.getpid()))):
            done = subprocess.run([sys.executable, "-c", LOOKS, program, *given], capture_output=True, text=True)
            assert done.stdout.strip() == seen, done.stderr
