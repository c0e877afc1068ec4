"""What is told of a host that could start guests by itself."""

from datetime import UTC, datetime

import pytest

from evacuation.capabilities import HostCapabilities, PutOff, SeenDomain
from evacuation.remarks import notes_of_guest, notes_of_host

NIGHT = datetime(2026, 1, 1, 3, 30, tzinfo=UTC)


def test_autostart_that_came_back_is_told() -> None:
    said = HostCapabilities(autostarts=(PutOff(id="id-1", name="vm-1", at=NIGHT),))
    (line,) = notes_of_guest(said, "id-1")
    assert line.startswith("autostart of vm-1 was on at 2026-01-01 03:30:00 UTC and is off again")
    assert tuple(notes_of_guest(said, "id-2")) == ()


def test_autostart_that_stays_on_is_told_with_what_to_do() -> None:
    said = HostCapabilities(autostarts=(PutOff(id="id-1", name="vm-1", at=NIGHT, why_not="it is read-only"),))
    (line,) = notes_of_guest(said, "id-1")
    assert "is on, and cannot be put off: it is read-only" in line and "virsh autostart --disable vm-1" in line


def test_managed_save_of_a_guest_of_ours_is_told_while_it_does_not_run() -> None:
    saved = SeenDomain(id="id-1", name="vm-1", active=False, epoch=3, managed_save=True)
    for domain, lines in (
        (saved, 1),
        (saved.model_copy(update={"active": True}), 0),
        (saved.model_copy(update={"epoch": 0}), 0),
        (saved.model_copy(update={"managed_save": None}), 0),
    ):
        found = tuple(notes_of_guest(HostCapabilities(domains=(domain,)), "id-1"))
        assert len(found) == lines and all("vm-1 has a managed save" in line for line in found)


def test_host_that_is_not_held_is_told_and_one_of_which_that_is_not_known_is_not() -> None:
    (line,) = notes_of_host(HostCapabilities(held=False))
    assert "evacuate-hold.service is not enabled" in line
    assert tuple(notes_of_host(HostCapabilities(held=True))) == tuple(notes_of_host(HostCapabilities())) == ()


def test_guest_that_writes_to_another_disk_than_its_definition_names_is_told_with_both() -> None:
    domain = SeenDomain(id="id-1", name="web", active=True, disks=("/vms/web.s1",), named=("/vms/web.qcow2",))
    (line,) = notes_of_guest(HostCapabilities(domains=(domain,)), "id-1")
    assert "/vms/web.qcow2" in line and "/vms/web.s1" in line and "virsh define" in line


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("paused by an I/O error", "virsh resume"),
        ("crashed", "evacuate instance start web"),
        ("migrating", "virsh domjobinfo web"),
    ],
)
def test_guest_that_does_not_go_on_is_told_with_what_to_do(state: str, remedy: str) -> None:
    domain = SeenDomain(id="id-1", name="web", active=True, state=state)
    (line,) = notes_of_guest(HostCapabilities(domains=(domain,)), "id-1")
    assert f"web is {state} there" in line and remedy in line


def test_nothing_is_said_of_a_guest_that_runs_or_that_somebody_paused() -> None:
    for state in ("running", "paused", None):
        domain = SeenDomain(id="id-1", name="web", active=True, state=state, named=())
        assert tuple(notes_of_guest(HostCapabilities(domains=(domain,)), "id-1")) == ()
