"""A host that was renamed, cloned or rebooted must not act on a message that was meant for another."""

from contextlib import suppress

from evacuation.errors import DestinationUnableError, EvacuateError, HostIdentityError
from evacuation.ledger import LedgerMark
from evacuation.messages import HostCall
from evacuation.ports import Hypervisor, LedgerMemory
from evacuation.request import accept_remedy


class NoMemory:
    """Of who keeps nothing of the ledger, and so is no witness."""

    def known(self) -> LedgerMark | None:
        return None

    def note(self, mark: LedgerMark | None) -> None:
        pass


def must_be(hypervisor: Hypervisor, call: HostCall, memory: LedgerMemory, *, any_incarnation: bool = False) -> str:
    """This host's incarnation, when it is the one that the message expects; what the message says of the ledger is
    remembered, before anything else is done.

    Raises HostIdentityError (another hypervisor answers by this name) and, unless `any_incarnation`,
    DestinationUnableError (the host booted since it was chosen)."""
    me = hypervisor.identity()
    if call.hypervisor_uuid is not None and me.hypervisor_uuid != call.hypervisor_uuid:
        raise HostIdentityError(
            f"host {call.host} is hypervisor {me.hypervisor_uuid}, not {call.hypervisor_uuid} as the fleet knows it",
            remedy="stop the worker that uses this name on the wrong machine; "
            + accept_remedy(call.host, "if it is the host's new board"),
        )
    if not any_incarnation and call.incarnation is not None and me.incarnation != call.incarnation:
        raise DestinationUnableError(f"host {call.host} booted again since it was chosen")
    memory.note(call.ledger)
    return me.incarnation


class Boot:
    """Which boot of its host a worker runs in, for the errors that it answers with. Read until it is known, and kept:
    no worker outlives the boot that it was started in."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._known: str | None = None

    def __call__(self) -> str | None:
        with suppress(Exception):
            self._known = self._known or self._asked()
        return self._known

    def _asked(self) -> str | None:
        try:
            return self._hypervisor.identity().incarnation or None
        except EvacuateError as error:
            return error.incarnation
