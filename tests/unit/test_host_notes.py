"""What is told of a host that could start guests on its own account."""

from datetime import UTC, datetime

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
