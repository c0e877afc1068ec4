"""libvirt's numbers, as far as they matter here, and its errors as they come from a helper.

They are part of its stable interface (libvirt-domain.h, virterror.h).
"""

from enum import IntEnum


class Code(IntEnum):
    """virErrorNumber"""

    NO_SUPPORT = 3
    XML_ERROR = 27
    CONFIG_UNSUPPORTED = 67


FROM_RPC = 7
"""virErrorDomain: the connection itself failed."""


class State(IntEnum):
    """virDomainState"""

    NONE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


PAUSED_STARTING_UP = 11
"""virDomainPausedReason: a create is under way."""
CRASHED, IO_ERROR, MIGRATING, STARTING = "crashed", "paused by an I/O error", "migrating", "starting"
ASLEEP = "pmsuspended"
"""States in a word: virsh's, or one that says more."""
_WORDS: dict[int, str] = {
    State.RUNNING: "running",
    State.BLOCKED: "running",
    State.PAUSED: "paused",
    State.SHUTDOWN: "in shutdown",
    State.SHUTOFF: "shut off",
    State.CRASHED: CRASHED,
    State.PMSUSPENDED: ASLEEP,
}
_PAUSED = {2: MIGRATING, 5: IO_ERROR, 10: CRASHED, PAUSED_STARTING_UP: STARTING, 12: MIGRATING, 13: MIGRATING}
"""By reason: a migration, after the copy or before it, has its other half elsewhere."""


def state_word(state: int, reason: int) -> str:
    """As virsh says it, and why a paused one is: an I/O error, a crash, or only the end of its start or of a migration
    that it waits for."""
    if state == State.PAUSED and reason in _PAUSED:
        return _PAUSED[reason]
    return _WORDS.get(state, "no state")


class LibvirtError(Exception):
    """What libvirt said. It does not leave the driver."""

    def __init__(self, code: int | None, domain: int | None, message: str) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code
        self.domain = domain

    @property
    def is_lost_connection(self) -> bool:
        return self.domain == FROM_RPC
