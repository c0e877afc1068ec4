"""Programs of the machine, run to their end."""

import os
import subprocess
import time
from collections.abc import Callable


class CommandError(Exception):
    """What it was, and what it said."""


def run(*command: str, check: bool = True, timeout: float = 60.0) -> str:
    """Its standard output. Raises CommandError."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode:
        raise CommandError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def until(condition: Callable[[], object], what: str, *, within: float = 60.0) -> None:
    """Raises TimeoutError with what never came true."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never: {what}")
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """A zombie is not: it neither runs nor writes."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (asked many times a second)
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def require_root() -> None:
    if os.geteuid() != 0:
        raise PermissionError("the lab makes namespaces: it needs root")
