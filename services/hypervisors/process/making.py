"""A guest's disk: made once, when its instance gets into a fleet, and looked at before each use. A guest makes none."""

import os
import stat
from pathlib import Path
from uuid import uuid4

from services.hypervisors.process.disk import records

MADE_FOR = b"# disk of "
"""The first line of every disk goes on with its instance's id: one that is empty was not made here."""
_LOOK = 4096


def make_disk(path: Path, instance_id: str) -> None:
    """Whole or not at all; one that has anything in it is left as it is."""
    if path.exists() and (not path.is_file() or path.stat().st_size):
        return
    fresh = path.with_name(f".{path.name}.{uuid4()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (Path.open takes no descriptor)
        file.write(MADE_FOR + instance_id.encode() + b"\n")
    fresh.replace(path)


def why_unusable(path: Path, instance_id: str) -> str | None:
    """What keeps that instance's guest from it, as the end of a sentence about the disk; None: nothing does."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return f"is {_kind(found.st_mode)}, not a file"
        if found.st_size == 0:
            return "is empty"
        owners = _owners(path)
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    return None if owners == {instance_id} else _foreign(owners - {instance_id})


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a directory" if stat.S_ISDIR(mode) else "a special file"


def _owners(path: Path) -> set[str]:
    """Whose it is, by its first and last lines."""
    with open(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "rb") as file:  # noqa: PTH123 (Path.open takes no descriptor)
        head = file.read(_LOOK)
        file.seek(max(0, path.stat().st_size - _LOOK))
        tail = file.read()
    named = {head.split(b"\n", 1)[0].removeprefix(MADE_FOR).decode(errors="replace")}
    made_for = named if head.startswith(MADE_FOR) else set[str]()
    return made_for | {each.instance_id for each in (*records(head), *records(tail))}


def _foreign(others: set[str]) -> str:
    return f"is the one of {min(others)}" if others else "is not one that a guest has written"
