"""Calls that may never return, made so that their caller always gets an answer in a bounded time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from typing import TypeVar

from evacuation.errors import HypervisorUnavailableError

Result = TypeVar("Result")
SLICE = 0.5
"""Seconds between two beats of a caller that waits."""


def no_beat(_: str) -> None:
    pass


class BoundedCalls:
    """At most so many at once, each on a thread of its own that does not keep the process from ending.

    A call that is given up goes on in its thread, and its place is taken until it returns; when every place is
    taken, calls fail at once instead of piling up."""

    def __init__(self, host: str, *, places: int = 32) -> None:
        self._host = host
        self._places = threading.BoundedSemaphore(places)

    def run(
        self, what: str, do: Callable[[], Result], *, timeout: float, beat: Callable[[str], None] = no_beat
    ) -> Result:
        """`what` completes "… does not answer". Raises HypervisorUnavailableError, and whatever `do` raises."""
        if not self._places.acquire(blocking=False):
            raise HypervisorUnavailableError(
                f"too many calls on {self._host} do not return",
                remedy="see what hangs there: libvirtd, a QEMU process, or the shared storage",
            )
        future: Future[Result] = Future()
        threading.Thread(target=self._fulfil, args=(future, do), name=what, daemon=True).start()
        deadline = time.monotonic() + timeout
        while True:
            try:
                return future.result(min(SLICE, max(0.0, deadline - time.monotonic())))
            except StillRunning:
                if future.done():
                    raise
                self._require_time(what, deadline, timeout)
                beat(f"waiting for {what}")

    def _require_time(self, what: str, deadline: float, timeout: float) -> None:
        if time.monotonic() >= deadline:
            raise HypervisorUnavailableError(
                f"{what} on {self._host} did not answer in {timeout:g} s",
                remedy="see what hangs there: libvirtd, a QEMU process, or the shared storage",
            )

    def _fulfil(self, future: "Future[Result]", do: Callable[[], Result]) -> None:
        try:
            result = do()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            self._places.release()
