"""One helper process: it is asked, waited for, and killed when it is late."""

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

from evacuation.errors import HypervisorUnableError, HypervisorUnavailableError
from services.hypervisors.libvirt import helper
from services.hypervisors.libvirt.api import FROM_RPC, LibvirtError
from services.hypervisors.libvirt.failures import open_failure

PROGRAM = Path(helper.__file__).resolve()
OLDEST = 7_000_000
"""7.0.0, in libvirt's own counting."""
KILL_WAIT = 1.0
"""Seconds; a process in an uninterruptible wait is left to the kernel."""
SLICE = 0.5
"""Seconds between two beats of a caller that waits."""


class Helper:
    """Used by one caller at a time."""

    def __init__(self, uri: str, host: str, *, timeout: float, beat: Callable[[str], None]) -> None:
        """It has opened the URI. Raises HypervisorUnableError, HypervisorUnavailableError."""
        self._host = host
        self._buffer = b""
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM), uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _require_recent(self._answer("the connection to libvirt", timeout, beat), uri)
        except LibvirtError as error:
            self.end()
            raise _refused(error, uri) from error
        except BaseException:
            self.end()
            raise

    def ask(self, what: str, given: tuple[Any, ...], *, timeout: float, beat: Callable[[str], None]) -> Any:
        """Raises LibvirtError, HypervisorUnavailableError. After the latter it is of no more use."""
        request = json.dumps({"do": what, "with": given}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error
        return self._answer(what, timeout, beat)

    def end(self) -> None:
        """At once, whatever it waits for."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_WAIT)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _answer(self, what: str, timeout: float, beat: Callable[[str], None]) -> Any:
        answer = json.loads(self._line(what, timeout, beat))
        if "error" not in answer:
            return answer["result"]
        error = answer["error"]
        raise LibvirtError(error["code"], error["domain"], error["message"])

    def _line(self, what: str, timeout: float, beat: Callable[[str], None]) -> bytes:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise HypervisorUnavailableError(
                    f"{what} on {self._host} did not come to an end in {timeout:g} s",
                    remedy="see what hangs there: libvirtd, a QEMU process, or the shared storage",
                )
            if not self._read(min(SLICE, left)):
                beat(f"waiting for {what}")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _read(self, wait: float) -> bool:
        """Whether anything came."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(wait * 1000):
            return False
        read = os.read(descriptor, 1 << 16)
        if not read:
            raise self._gone()
        self._buffer += read
        return True

    def _gone(self) -> LibvirtError:
        """As a connection that was lost: what only reads may ask again."""
        return LibvirtError(None, FROM_RPC, f"the helper that spoke to libvirt on {self._host} ended")


def _refused(error: LibvirtError, uri: str) -> Exception:
    if error.code == helper.MISSING:
        return HypervisorUnableError(
            f"libvirt-python cannot be loaded ({error})",
            remedy="install it: pip install 'evacuate[libvirt]' (it is built with libvirt's headers)",
        )
    return open_failure(str(error), uri=uri)


def _require_recent(version: int, uri: str) -> None:
    if version < OLDEST:
        raise HypervisorUnableError(
            f"libvirt {dotted(version)} at {uri} is too old", remedy=f"{dotted(OLDEST)} or newer is needed"
        )


def dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
