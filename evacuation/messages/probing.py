"""Whether a host is there, and which boot of it."""

from evacuation.ledger import LedgerMark
from evacuation.messages.common import Answered
from evacuation.model import Frozen


class ProbeRequest(Frozen):
    """`doubted`: whoever asks takes the host for lost, and so may the store. A worker that hears it comes back through
    its return. `ledger`: as it is now, for the host to remember. `live`: what runs there is asked for, and on which
    disks."""

    host: str
    hypervisor_uuid: str | None
    doubted: bool = False
    ledger: LedgerMark | None = None
    live: bool = False


class ProbeAnswer(Answered):
    """The host's own worker is there."""

    host: str
    incarnation: str
    in_service: bool
