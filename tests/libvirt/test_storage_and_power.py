"""Whole evacuations of real guests from every kind of storage, proven by power over Redfish or by storage alone."""

import json
import os
import signal
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from services.definitions.libvirt.metadata import replace_mark
from services.hypervisors.process.disk import breaches, interleaved, runs
from services.sql import open_services
from tests.libvirt.lab import guests
from tests.libvirt.lab.lab import Lab, lab_of
from tests.libvirt.lab.shell import until
from tests.libvirt.power import Power, power_of
from tests.libvirt.stack import LibvirtStack, running
from tests.libvirt.storage import Qcow2Stack, SanStack, StorageStack


@pytest.fixture
def fresh(can_run: None) -> Iterator[Lab]:
    with lab_of("a", "b", "c", named=3) as lab:
        yield lab


@pytest.fixture
def power(fresh: Lab) -> Iterator[Power]:
    with power_of(fresh) as power:
        yield power


def lose_sight_of(stack: LibvirtStack, name: str) -> None:
    """Nobody answers for the host any more; its guests run, and write."""
    host = stack.lab.hosts[name]
    host.signal_libvirtd(signal.SIGKILL)
    for pid in host.processes("python"):
        stack.kill(pid)


def send(stack: LibvirtStack, name: str, number: signal.Signals) -> None:
    """To the host's worker, and to its helpers."""
    for pid in stack.lab.hosts[name].processes("python"):
        os.kill(pid, number)


def be_refused_by(stack: LibvirtStack, host: str, name: str) -> None:
    """Somebody has defined a newer guest of that uuid there."""
    domain = ElementTree.fromstring(
        f"<domain type='qemu'><name>newer</name><uuid>{stack.instance(name).id}</uuid><memory>65536</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    replace_mark(domain, stack.instance(name).id, 99)
    path = stack.directory / "newer.xml"
    path.write_text(ElementTree.tostring(domain, encoding="unicode"))
    stack.lab.hosts[host].run("virsh", "-q", "define", str(path))


def destination_of(stack: LibvirtStack, name: str, word: str | None = None) -> str:
    process = stack.begin_evacuation(name, word)
    out, err = process.communicate(timeout=170)
    assert process.returncode == 0, f"{out}\n{err}\n{stack.log('control')[-3000:]}"
    return str(json.loads(out)["destination"])


def recovered(stack: LibvirtStack, name: str) -> str:
    """Where it is now, and goes on as one guest with one history."""
    destination = destination_of(stack, name)
    until(lambda: len(runs(stack.journal(name))) > 1, f"{name} goes on")
    first, second = runs(stack.journal(name))
    assert (first.host, second.host) == ("a", destination)
    assert second.first.counter == first.last.counter + 1
    return destination


def proofs(stack: LibvirtStack, name: str) -> list[str]:
    services = open_services(f"sqlite:///{stack.directory / 'state.db'}")
    try:
        return [each.proof for each in services.views.residences() if each.instance == name and each.proof]
    finally:
        services.close()


@pytest.mark.parametrize("kind", [LibvirtStack, Qcow2Stack, SanStack], ids=["raw", "qcow2", "san"])
def test_living_host_is_switched_off_over_redfish_before_its_guest_starts_elsewhere(
    fresh: Lab, power: Power, kind: type[LibvirtStack]
) -> None:
    with running(kind(fresh, power), {"vm-1": "a"}) as stack:
        until(lambda: len(stack.journal("vm-1")) > 3, "vm-1 writes")
        lose_sight_of(stack, "a")
        assert recovered(stack, "vm-1") in ("b", "c")
        assert power.orders() == ["a ForceOff"]
        assert fresh.hosts["a"].processes() == []
        assert breaches(stack.journal("vm-1")) == []
        stack.evacuate("check")


def test_corruption_is_seen_when_a_lie_lets_a_second_guest_write_to_a_san(fresh: Lab) -> None:
    """No lock of one host reaches the other: there, fencing is all that keeps the data."""
    with running(SanStack(fresh), {"vm-1": "a"}) as stack:
        until(lambda: len(stack.journal("vm-1")) > 3, "vm-1 writes")
        lose_sight_of(stack, "a")
        assert destination_of(stack, "vm-1", "somebody said that it is off") in ("b", "c")
        assert fresh.hosts["a"].guests(), "and it was not"
        until(lambda: interleaved(stack.journal("vm-1")), "two guests wrote to one disk")


def test_guest_moves_to_its_volume_elsewhere_and_the_old_one_can_write_nothing_when_the_bmc_is_dead(
    fresh: Lab, power: Power
) -> None:
    with running(StorageStack(fresh, power, "1 of power, storage"), {"vm-1": "a"}) as stack:
        until(lambda: len(stack.journal("vm-1")) > 3, "vm-1 writes")
        lose_sight_of(stack, "a")
        power.lose_bmc("a")
        (old,) = fresh.hosts["a"].guests()
        assert recovered(stack, "vm-1") in ("b", "c")
        console = fresh.shared / "vm-1.a.console"
        until(lambda: guests.console_lines(console, "WRITE-ERROR"), "the old guest cannot write")
        assert fresh.hosts["a"].guests() == [old], "it runs on, on a host that nobody can switch off"
        before = len(stack.journal("vm-1"))
        until(lambda: len(stack.journal("vm-1")) > before + 3, "vm-1 writes elsewhere")
        assert breaches(stack.journal("vm-1")) == []
        assert proofs(stack, "vm-1")[-1].startswith("storage-revoked")


@pytest.fixture
def pair(can_run: None) -> Iterator[Lab]:
    with lab_of("a", "b", named=2) as lab:
        yield lab


def test_guest_whose_disk_was_taken_away_runs_from_it_again_when_its_host_is_back_in_the_same_boot(pair: Lab) -> None:
    """Its evacuation came to nothing. It runs on, and could never write again."""
    with running(StorageStack(pair, None, "1 of storage"), {"vm-1": "a"}) as stack:
        until(lambda: len(stack.journal("vm-1")) > 3, "vm-1 writes")
        (old,) = pair.hosts["a"].guests()
        send(stack, "a", signal.SIGSTOP)
        be_refused_by(stack, "b", "vm-1")
        stack.evacuate("instance", "evacuate", "vm-1", "--target", "b", exit_code=1)
        until(lambda: guests.console_lines(pair.shared / "vm-1.a.console", "WRITE-ERROR"), "it cannot write")
        before = len(stack.journal("vm-1"))
        send(stack, "a", signal.SIGCONT)
        until(lambda: len(stack.journal("vm-1")) > before + 3, "vm-1 writes again", within=60)
        (new,) = pair.hosts["a"].guests()
        assert new != old
        first, second = runs(stack.journal("vm-1"))
        assert (first.host, second.host, second.first.counter) == ("a", "a", first.last.counter + 1)
        assert breaches(stack.journal("vm-1")) == []
        assert proofs(stack, "vm-1")[-1].startswith("guest-gone")
        until(lambda: stack.instance("vm-1").power_state == "running", "it is recorded so")
        stack.evacuate("check")
