"""What a worker's threads free is not kept in a heap for each, and what its runs leave in cycles is not kept at all."""

import asyncio
import gc
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from sqlalchemy import text

from services.sql.database import connect_database
from services.sql.engines import SQLITE_PAGES_KIB, SQLITE_STATEMENTS
from workers import memory

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its heaps are glibc's, and so is their count")

THREADS = 12
PROGRAM = f"""
import ctypes, gc, sys, threading
from workers.memory import hold_little
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "held":
    hold_little()
barrier = threading.Barrier({THREADS})
def allocate():
    barrier.wait()
    for _ in range(100):
        libc.malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(gc.get_freeze_count())
libc.malloc_stats()
"""


def heaps(mode: str) -> tuple[int, int]:
    """glibc's own count of its heaps, and how many objects are beyond collection."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    return ended.stderr.count("\nArena ") + ended.stderr.startswith("Arena "), int(ended.stdout)


@glibc
def test_threads_share_one_heap():
    assert heaps("held")[0] == 1
    assert heaps("as it was")[0] > 1


@glibc
def test_what_was_imported_is_never_looked_through_again():
    assert heaps("held")[1] > 1000
    assert heaps("as it was")[1] == 0


def test_worker_collects_from_when_it_serves():
    """What it imports before is no garbage."""
    program = "import gc; gc.disable(); from workers.memory import hold_little; hold_little(); print(gc.isenabled())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n"


class Cycle:
    def __init__(self) -> None:
        self.itself = self


async def test_cycles_are_collected_though_python_itself_puts_it_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "TIDY", 0.0)
    gc.disable()
    try:
        gone = weakref.ref(Cycle())
        assert gone() is not None
        tidying = asyncio.create_task(memory.keep_tidy())
        while gone() is not None:
            await asyncio.sleep(0)
        tidying.cancel()
    finally:
        gc.enable()


def test_connection_to_sqlite_keeps_few_statements_and_pages(tmp_path: Path):
    database = connect_database(f"sqlite:///{tmp_path / 'state.db'}")
    before = statements_kept()
    for number in range(3 * SQLITE_STATEMENTS):
        database.run(lambda connection, number=number: connection.execute(text(f"SELECT {number}")).scalar_one())
    kept = statements_kept() - before
    pages = database.run(lambda connection: connection.execute(text("PRAGMA cache_size")).scalar_one())
    database.close()
    assert SQLITE_STATEMENTS // 2 < kept <= SQLITE_STATEMENTS + 1
    assert pages == -SQLITE_PAGES_KIB


def statements_kept() -> int:
    return sum(type(each).__name__ == "Statement" for each in gc.get_objects())
