"""Calls to one libvirt, through helper processes: none of them can make a worker wait for ever, or crash it.

libvirt has no time limit for opening, nor for most of its work; it has crashed its caller when a daemon froze. So a
process of its own makes each call, keeps its connection for the next one, and is killed when an answer is late. As
with any client that dies, libvirtd then goes on with what it was asked: who gave a call up looks what became of it.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from evacuation.errors import HypervisorUnavailableError
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.calls import BoundedCalls, no_beat
from services.hypervisors.libvirt.failures import require_known_uri
from services.hypervisors.libvirt.helper_process import Helper

Result = TypeVar("Result")
MOST = 32
IDLE = 3
"""Helpers that are kept for the next calls; each has some 15 MiB."""


class LibvirtConnection:
    """To be shared by all threads of a worker."""

    def __init__(self, uri: str, host: str, *, timeout: float) -> None:
        """`timeout` (seconds) bounds every call, and the opening before it."""
        self.uri = uri
        self._host = host
        self._timeout = timeout
        self._others = BoundedCalls(host)
        # libvirt's own test driver has a state for every process.
        self._places = threading.BoundedSemaphore(1 if uri.startswith("test:") else MOST)
        self._guard = threading.Lock()
        self._idle: list[Helper] = []

    def run(self, what: str, *given: Any, timeout: float | None = None, beat: Callable[[str], None] = no_beat) -> Any:
        """What libvirt answers to that operation of `helper`. Raises LibvirtError, HypervisorUnavailableError,
        HypervisorUnableError."""
        if not self._places.acquire(timeout=self._timeout):
            raise HypervisorUnavailableError(
                f"too many calls to libvirt on {self._host} do not return", remedy="see whether libvirtd hangs there"
            )
        try:
            return self._run(what, given, timeout or self._timeout, beat)
        finally:
            self._places.release()

    def reading(self, what: str, *given: Any) -> Any:
        """As `run`, for what only reads: it is asked once more on a new connection when the old one was lost."""
        try:
            return self.run(what, *given)
        except LibvirtError as error:
            if not error.is_lost_connection:
                raise
        return self.run(what, *given)

    def elsewhere(self, what: str, do: Callable[[], Result], *, beat: Callable[[str], None] = no_beat) -> Result:
        """A call that is not libvirt's and may hang as well: the shared storage's, or another program's."""
        return self._others.run(what, do, timeout=self._timeout, beat=beat)

    def close(self) -> None:
        """The idle helpers end."""
        with self._guard:
            while self._idle:
                self._idle.pop().end()

    def _run(self, what: str, given: tuple[Any, ...], timeout: float, beat: Callable[[str], None]) -> Any:
        helper = self._taken(beat)
        try:
            answer = helper.ask(what, given, timeout=timeout, beat=beat)
        except LibvirtError as error:
            if error.is_lost_connection:
                helper.end()
                self.close()
            else:
                self._give_back(helper)
            raise
        except BaseException:
            helper.end()
            raise
        self._give_back(helper)
        return answer

    def _taken(self, beat: Callable[[str], None]) -> Helper:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        require_known_uri(self.uri)
        return Helper(self.uri, self._host, timeout=self._timeout, beat=beat)

    def _give_back(self, helper: Helper) -> None:
        with self._guard:
            if len(self._idle) < IDLE:
                self._idle.append(helper)
                return
        helper.end()
