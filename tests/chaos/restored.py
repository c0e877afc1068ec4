"""A store that is restored from a backup while the guests run on, as docs/backup.md says, and what a person does."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from embedded.processes import end_all, with_role
from tests.support.stack import PATIENCE, Stack, plain

ROUNDS = 5
_BACKUP = "backup.db"


def back_up(stack: Stack) -> None:
    backup = stack.directory / _BACKUP
    with closing(sqlite3.connect(_state(stack) / "state.db")) as live, closing(sqlite3.connect(backup)) as copy:
        live.backup(copy)


def restore(stack: Stack, names: Sequence[str]) -> Iterator[str]:
    """What is not as it must be. Nothing is begun before the store is reconciled, and what is open then is asked for
    again."""
    for role in ("supervisor", "control"):
        end_all(lambda role=role: with_role(_state(stack), role), grace=0, timeout=PATIENCE)
    for left in _state(stack).glob("state.db-*"):
        left.unlink()
    shutil.copy(stack.directory / _BACKUP, _state(stack) / "state.db")
    stack.run("up --detach")
    early = stack.run(["instance", "evacuate", names[0]])
    if early.code != 2 or "store reconcile" not in plain(early.err):
        yield f"before it is reconciled: {early}"
    done = stack.run("store reconcile")
    if done.code:
        yield f"store reconcile: {done}"
    yield from _finish_what_is_open(stack)


def _finish_what_is_open(stack: Stack) -> Iterator[str]:
    for _ in range(ROUNDS):
        with stack.services() as services:
            left = [row.instance for row in services.views.evacuations() if row.open]
        if not left:
            return
        for name in left:
            stack.run(["instance", "evacuate", name, "--join"])
    yield f"still open after {ROUNDS} requests: {', '.join(left)}"


def _state(stack: Stack) -> Path:
    return Path(stack.environment["EVACUATE_STATE_DIR"])
