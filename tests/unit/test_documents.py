"""A host's own files: what the system refuses, and what is damaged, is told in words of the domain."""

from pathlib import Path

import pytest

from evacuation.errors import FenceFailedError, HypervisorUnavailableError
from services.fencing import ProcessFencing
from services.hypervisors.memory import GuestFiles, GuestMemory, Tombstone
from services.hypervisors.process import ProcessHost
from services.runtime.durable_files import read, remove_durably, write


def test_document_is_read_as_it_was_written_and_is_none_where_there_is_none(tmp_path: Path):
    path = tmp_path / "tombstones" / "one.json"
    assert read(path, Tombstone) is None
    write(path, Tombstone(epoch=3))
    assert read(path, Tombstone) == Tombstone(epoch=3)
    remove_durably(path)
    assert read(path, Tombstone) is None


@pytest.mark.parametrize("text", ["", "{", '{"epoch": "many"}', "\x00" * 100])
def test_damaged_document_is_named(tmp_path: Path, text: str):
    path = tmp_path / "one.json"
    path.write_text(text)
    with pytest.raises(HypervisorUnavailableError, match=r"one\.json is damaged"):
        read(path, Tombstone)


def test_what_the_system_refuses_is_told_with_its_path(tmp_path: Path):
    (tmp_path / "file").write_text("no directory")
    path = tmp_path / "file" / "one.json"
    for attempt in (
        lambda: write(path, Tombstone(epoch=1)),
        lambda: read(path, Tombstone),
        lambda: remove_durably(path),
    ):
        with pytest.raises(HypervisorUnavailableError, match="file") as caught:
            attempt()
        assert "room" in caught.value.remedy


def test_guest_whose_files_cannot_be_written_is_an_answer_of_the_hypervisor(tmp_path: Path):
    (tmp_path / "locks").write_text("no directory")
    memory = GuestMemory(GuestFiles(tmp_path), "cmp-1")
    with pytest.raises(HypervisorUnavailableError), memory.exclusive("one"):
        raise AssertionError("it has no lock")
    (tmp_path / "locks").unlink()
    with pytest.raises(HypervisorUnavailableError, match="No space left"), memory.exclusive("one"):
        raise OSError(28, "No space left on device")


def test_power_that_cannot_be_read_is_a_fence_that_failed(tmp_path: Path):
    host = ProcessHost(tmp_path, "cmp-1")
    host.power_on()
    host.layout.power.write_text("{")
    fencing = ProcessFencing(tmp_path)
    for attempt in (
        lambda: fencing.is_off("cmp-1"),
        lambda: fencing.boot_of("cmp-1"),
        lambda: fencing.power_off("cmp-1", None, last_look=lambda: None, beat=lambda: None),
    ):
        with pytest.raises(FenceFailedError, match="is damaged"):
            attempt()
