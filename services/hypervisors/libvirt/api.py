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

    PAUSED = 3
    PMSUSPENDED = 7


PAUSED_STARTING_UP = 11
"""virDomainPausedReason: a create is under way."""


class LibvirtError(Exception):
    """What libvirt said. It does not leave the driver."""

    def __init__(self, code: int | None, domain: int | None, message: str) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code
        self.domain = domain

    @property
    def is_lost_connection(self) -> bool:
        return self.domain == FROM_RPC
