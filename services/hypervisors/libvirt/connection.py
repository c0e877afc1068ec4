"""One connection to libvirt, kept alive, opened again when it is lost, and never a reason to wait for ever.

libvirt has no time limit for opening. So a helper process opens first, and is killed when it takes too long; only
when it could, the worker opens too. A call on the open connection fails within seconds when libvirtd is gone or
frozen (keepalive), and is given up when libvirtd lives but its work hangs.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from evacuation.errors import HypervisorUnableError, HypervisorUnavailableError
from services.hypervisors.libvirt.api import Connection, as_libvirt_error, library
from services.hypervisors.libvirt.calls import BoundedCalls, no_beat
from services.hypervisors.libvirt.failures import has_lost_connection, open_failure, require_known_uri

Result = TypeVar("Result")
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 1, 3
OLDEST = 7_000_000
"""7.0.0, in libvirt's own counting."""

PROBE = """
import sys, libvirt
libvirt.registerErrorHandler(lambda *_: None, None)
try:
    libvirt.open(sys.argv[1]).close()
except libvirt.libvirtError as error:
    sys.exit(error.get_error_message() or "unknown error")
"""


class LibvirtConnection:
    """To be shared by all threads of a worker."""

    def __init__(self, uri: str, host: str, *, timeout: float) -> None:
        """`timeout` (seconds) bounds every call, and the opening."""
        self.uri = uri
        self._host = host
        self._timeout = timeout
        self._calls = BoundedCalls(host)
        self._opening = threading.Lock()
        self._open: Connection | None = None

    def run(
        self,
        what: str,
        do: Callable[[Connection], Result],
        *,
        timeout: float | None = None,
        beat: Callable[[str], None] = no_beat,
    ) -> Result:
        """What `do` returns. Raises HypervisorUnavailableError, HypervisorUnableError, and libvirt's errors."""
        connection = self._connection(beat)
        try:
            return self._calls.run(what, lambda: do(connection), timeout=timeout or self._timeout, beat=beat)
        except Exception as error:
            if has_lost_connection(error):
                self._forget(connection)
            raise

    def reading(self, what: str, do: Callable[[Connection], Result]) -> Result:
        """As `run`, for what only reads: it is asked once more on a new connection when the old one was lost."""
        try:
            return self.run(what, do)
        except Exception as error:
            if not has_lost_connection(error):
                raise
        return self.run(what, do)

    def elsewhere(self, what: str, do: Callable[[], Result], *, beat: Callable[[str], None] = no_beat) -> Result:
        """A call that is not libvirt's and may hang as well: the shared storage's, a subprocess's."""
        return self._calls.run(what, do, timeout=self._timeout, beat=beat)

    def _connection(self, beat: Callable[[str], None]) -> Connection:
        if not self._opening.acquire(timeout=2 * self._timeout):
            raise HypervisorUnavailableError(f"libvirt does not answer at {self.uri}")
        try:
            if self._open is None or not self._open.isAlive():
                self._open = None
                self._open = self._opened(beat)
            return self._open
        finally:
            self._opening.release()

    def _opened(self, beat: Callable[[str], None]) -> Connection:
        require_known_uri(self.uri)
        module = library()
        run_events(module)
        self._probe()
        try:
            return self._calls.run("open", lambda: _open(module, self.uri), timeout=self._timeout, beat=beat)
        except Exception as error:
            if as_libvirt_error(error) is None:
                raise
            raise open_failure(str(error), uri=self.uri) from error

    def _probe(self) -> None:
        """The same program may open this URI. Raises HypervisorUnableError, HypervisorUnavailableError."""
        command = [sys.executable, "-c", PROBE, self.uri]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=self._timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise HypervisorUnavailableError(
                f"libvirt does not answer at {self.uri} in {self._timeout:g} s",
                remedy="see whether libvirtd hangs there",
            ) from None
        if done.returncode:
            raise open_failure(" ".join(done.stderr.split()), uri=self.uri)

    def _forget(self, connection: Connection) -> None:
        with self._opening:
            if self._open is connection:
                self._open = None


def _open(module: Any, uri: str) -> Connection:
    connection: Connection = module.open(uri)
    with suppress(module.libvirtError):
        connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
    version = connection.getLibVersion()
    if version < OLDEST:
        raise HypervisorUnableError(
            f"libvirt {dotted(version)} at {uri} is too old", remedy=f"{dotted(OLDEST)} or newer is needed"
        )
    return connection


def dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


def _ignore(*_: object) -> None:
    """Errors are raised as well; libvirt would also print them."""


_EVENTS = threading.Lock()
_running: list[threading.Thread] = []


def run_events(module: Any) -> None:
    """libvirt's event loop, which keepalive needs, runs for as long as the process lives."""

    def forever() -> None:
        while True:
            module.virEventRunDefaultImpl()

    with _EVENTS:
        if _running:
            return
        module.registerErrorHandler(_ignore, None)
        module.virEventRegisterDefaultImpl()
        # The loop looks for new connections whenever a timer fires.
        module.virEventAddTimeout(1000, _ignore, None)
        _running.append(threading.Thread(target=forever, name="libvirt events", daemon=True))
        _running[0].start()
