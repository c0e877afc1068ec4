"""What a host remembers is known to be what it remembered: another directory, a wiped one, and a copy are not."""

import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from evacuation.errors import HypervisorUnavailableError, StaleEpochError
from services.hypervisors.lasting import MARK, LastingMemory
from services.hypervisors.memory import GuestFiles, GuestMemory
from services.hypervisors.process.layout import ProcessRoot
from services.runtime.locks import LockHeldError, machine_lock

WEB = "11111111-1111-4111-8111-111111111111"


def memory(path: Path) -> GuestMemory:
    return GuestMemory(GuestFiles(path), "cmp-1")


def test_memory_is_the_same_for_every_worker_of_its_directory(tmp_path: Path) -> None:
    assert memory(tmp_path / "a").mark() == memory(tmp_path / "a").mark()
    assert memory(tmp_path / "a").mark() != memory(tmp_path / "b").mark()


def test_first_who_comes_makes_the_mark_for_all_who_come_at_once(tmp_path: Path) -> None:
    for attempt in range(30):
        folder = tmp_path / str(attempt)
        with ThreadPoolExecutor(8) as pool:
            known = list(pool.map(lambda memory: (memory.mark(), memory), [LastingMemory(folder) for _ in range(8)]))
        assert len({mark for mark, _ in known}) == 1
        assert not any(memory.is_lost() for _, memory in known)


def test_shared_directory_gets_one_name_from_all_who_come_at_once(tmp_path: Path) -> None:
    for attempt in range(30):
        root = ProcessRoot(tmp_path / str(attempt))
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(_named, [root] * 8))) == 1


def _named(root: ProcessRoot) -> str:
    root.create()
    return root.marker.read_text()


def dies_in(work: Callable[[], object], where: str, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work in a process that is killed before or after that call."""
    real = getattr(os, where)

    def kills(*given: Any) -> None:
        if at == "after":
            real(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    if (child := os.fork()) == 0:
        monkeypatch.setattr(os, where, kills)
        work()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("where", ["open", "fsync"])
def test_who_dies_while_it_makes_the_mark_leaves_it_to_the_next(
    tmp_path: Path, where: str, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_in(LastingMemory(tmp_path).mark, where, at, monkeypatch)
    first = LastingMemory(tmp_path)
    assert first.mark() == LastingMemory(tmp_path).mark() and not first.is_lost()


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("where", ["fsync", "link"])
def test_who_dies_while_it_names_the_shared_directory_leaves_a_whole_name_or_none(
    tmp_path: Path, where: str, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ProcessRoot(tmp_path)
    dies_in(root.create, where, at, monkeypatch)
    assert not root.marker.exists() or UUID(root.marker.read_text())
    assert _named(root) == _named(root) and UUID(_named(root))


def test_memory_that_was_wiped_copied_or_restored_is_another(tmp_path: Path) -> None:
    first = memory(tmp_path / "a").mark()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert memory(tmp_path / "b").mark() != first
    shutil.rmtree(tmp_path / "a")
    assert memory(tmp_path / "a").mark() != first
    restored = memory(tmp_path / "c").mark()
    shutil.copy(tmp_path / "c" / MARK, tmp_path / "backup")
    (tmp_path / "c" / MARK).unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "c" / MARK)
    assert LastingMemory(tmp_path / "c", known=restored).is_lost()


def test_memory_that_moved_with_its_directory_is_the_same(tmp_path: Path) -> None:
    first = memory(tmp_path / "a").mark()
    (tmp_path / "a").rename(tmp_path / "b")
    assert memory(tmp_path / "b").mark() == first


@pytest.mark.parametrize("again", [False, True], ids=["wiped", "wiped and made again"])
def test_nothing_is_done_to_a_guest_once_the_directory_was_wiped_beneath_the_worker(
    tmp_path: Path, again: bool
) -> None:
    known = memory(tmp_path)
    with known.exclusive(WEB):
        known.bury(WEB, 4)
    shutil.rmtree(tmp_path)
    if again:
        memory(tmp_path).mark()
    for _ in range(2):
        with pytest.raises(HypervisorUnavailableError, match="not there any more"), known.exclusive(WEB):
            raise AssertionError("the tombstone is gone")


def test_damaged_mark_is_told_and_no_operation_begins(tmp_path: Path) -> None:
    known = memory(tmp_path)
    known.mark()
    (tmp_path / MARK).write_text("{")
    with pytest.raises(HypervisorUnavailableError, match="damaged"), known.exclusive(WEB):
        raise AssertionError("nobody knows what was called off")


def test_tombstones_of_the_directory_before_count_with_it(tmp_path: Path) -> None:
    with memory(tmp_path).exclusive(WEB):
        memory(tmp_path).bury(WEB, 4)
    with memory(tmp_path).exclusive(WEB), pytest.raises(StaleEpochError):
        memory(tmp_path).require_not_buried(WEB, 4)


def test_name_of_the_machine_is_held_by_one_at_a_time() -> None:
    both = machine_lock("evacuate-test-1"), machine_lock("evacuate-test-2")
    with both[0], both[1], pytest.raises(LockHeldError), machine_lock("evacuate-test-1", wait=0.05):
        raise AssertionError("held twice")
    with machine_lock("evacuate-test-1"):
        pass
