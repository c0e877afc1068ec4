"""A process that is asked by lines of JSON, waited for, and killed when its answer is late."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.hypervisors.libvirt.calls import SLICE

KILL_WAIT = 1.0
"""Seconds; a process in an uninterruptible wait is left to the kernel."""


class EndedError(Exception):
    """The process is gone; with it, what it was asked."""


class LateError(Exception):
    """No answer came in time. The process is of no more use."""


class AskedProcess:
    """Used by one caller at a time."""

    def __init__(self, program: Path, *arguments: str) -> None:
        """`program` is a file of Python, and needs nothing that is not installed."""
        self._buffer = b""
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def tell(self, request: object) -> None:
        """Raises EndedError."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
        except OSError as error:
            raise EndedError from error

    def answer(self, *, timeout: float, beat: Callable[[], None]) -> dict[str, Any]:
        """`timeout` in seconds. Raises EndedError, LateError."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise LateError
            if not self._read(min(SLICE, left)):
                beat()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def end(self) -> int | None:
        """At once, whatever it does; how it ended, where that can be told."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(KILL_WAIT)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return self.process.returncode

    def _read(self, wait: float) -> bool:
        """Whether anything came."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(wait * 1000):
            return False
        read = os.read(descriptor, 1 << 16)
        if not read:
            raise EndedError
        self._buffer += read
        return True
