"""\"Are you there?\": answered by the host's own worker, on a queue with slots of its own."""

from collections.abc import Callable

from temporalio import activity

from activities.identity import NoMemory, must_be
from evacuation import messages as m
from evacuation.ports import Hypervisor, LedgerMemory, Looking


def _nothing() -> None:
    """Nobody is to be told."""


class ProbeActivities:
    """`doubted` is called when somebody asks who takes the host for lost. `looking` None: the hypervisor's inventory is
    all that can be told."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        host: str,
        in_service: Callable[[], bool],
        doubted: Callable[[], None] = _nothing,
        memory: LedgerMemory | None = None,
        looking: Looking | None = None,
    ) -> None:
        self._looking = looking
        self._memory = memory or NoMemory()
        self._hypervisor = hypervisor
        self._host = host
        self._in_service = in_service
        self._doubted = doubted
        self.all = [self.probe_host, self.list_guests]

    @activity.defn(no_thread_cancel_exception=True)
    def probe_host(self, message: m.ProbeRequest) -> m.ProbeAnswer:
        """An answer means up. Silence means only that nobody answers."""
        self._note(message)
        call = m.HostCall(
            host=self._host, hypervisor_uuid=message.hypervisor_uuid, incarnation=None, ledger=message.ledger
        )
        incarnation = must_be(self._hypervisor, call, self._memory)
        known = self._memory.known()
        return m.ProbeAnswer(host=self._host, incarnation=incarnation, in_service=self._in_service(), ledger=known)

    @activity.defn(no_thread_cancel_exception=True)
    def list_guests(self, message: m.ProbeRequest) -> m.HostReport:
        """Who this host is, and every guest that is defined or runs here."""
        self._note(message)
        me = self._hypervisor.identity()
        look = self._looking.look() if message.live and self._looking is not None else None
        return m.HostReport(
            host=self._host,
            hypervisor_uuid=me.hypervisor_uuid,
            machine_id=me.machine_id,
            incarnation=me.incarnation,
            guests=self._hypervisor.inventory() if look is None else (),
            domains=look.domains if look else None,
            shared=look.shared if look else (),
            memory=me.memory,
            ledger=self._memory.known(),
        )

    def _note(self, message: m.ProbeRequest) -> None:
        """Before anything that may fail: an error is an answer, too."""
        if message.doubted:
            self._doubted()
