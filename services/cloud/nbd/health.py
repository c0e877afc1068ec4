"""Whether the daemon lives is asked apart from the lock of changes, and of more than one witness."""

import socket
import time
from contextlib import suppress

from evacuation.errors import VolumeServiceError
from services.cloud.nbd.layout import Layout
from services.cloud.nbd.qmp import Qmp, QmpError
from services.runtime.locks import LockHeldError, file_lock

PATIENCE = 2.0
"""Seconds that one witness has."""
GREETING = b"NBDMAGIC"
LOOKS = 3
"""That were made and heard nothing, before silence is believed."""


def is_answering(layout: Layout) -> bool:
    """On the monitor that nobody uses for changes."""
    with suppress(VolumeServiceError, QmpError), Qmp(layout.health, timeout=PATIENCE):
        return True
    return False


def gives_a_sign(layout: Layout) -> bool:
    """Of a daemon whose process lives and whose monitor is silent: whether anything speaks for it. Nobody waits here
    for whoever changes what is exported."""
    return _greets(layout) or _may_serve(layout)


class Silence:
    """How long the daemon has said nothing, by looks that were made. A service that was itself stopped for a while has
    heard nothing in that time, and knows nothing of it."""

    def __init__(self) -> None:
        self._looks = 0
        self._since = 0.0

    def broken(self) -> None:
        self._looks = 0

    def went_on(self, limit: float) -> bool:
        """One more look heard nothing; whether that has now been so for `limit` seconds."""
        self._looks += 1
        if self._looks == 1:
            self._since = time.monotonic()
        return self._looks >= LOOKS and time.monotonic() - self._since >= limit


def _greets(layout: Layout) -> bool:
    """It greets who connects, before anything is asked. A daemon that has as many clients as it takes does not."""
    with suppress(OSError), socket.create_connection((layout.host, layout.port), PATIENCE) as client:
        return client.recv(len(GREETING)) == GREETING
    return False


def _may_serve(layout: Layout) -> bool:
    """A daemon that an older release started has no monitor for this: it is asked on the other one. That somebody holds
    the lock says nothing about it, and counts for it."""
    if layout.health.exists():
        return False
    try:
        with file_lock(layout.lock), Qmp(layout.socket, timeout=PATIENCE):
            return True
    except LockHeldError:
        return True
    except (VolumeServiceError, QmpError):
        return False
