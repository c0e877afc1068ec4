"""What one process has seen of the ledger, whoever told it; and whether it has asked every host."""

import threading

from evacuation.errors import HostsNotAskedError
from evacuation.ledger import LedgerMark, Witness


class Witnesses:
    """Safe to use from many threads. The highest position of each ledger is kept, with who has seen it."""

    def __init__(self, *, asked: bool = True) -> None:
        self._guard = threading.Lock()
        self._seen: dict[str, Witness] = {}
        self._asked = asked
        self.lost = threading.Event()
        """The store was lost, and may be another one when it answers again: the hosts are to be asked."""

    def note(self, who: str, mark: LedgerMark | None) -> None:
        if mark is None:
            return
        with self._guard:
            known = self._seen.get(mark.ledger)
            if known is None or known.mark.position < mark.position:
                self._seen[mark.ledger] = Witness(who=who, mark=mark)

    def all(self) -> tuple[Witness, ...]:
        with self._guard:
            return tuple(self._seen.values())

    def begin_asking(self) -> None:
        """Nothing is started from here on, until every host has answered or had its time."""
        self._asked = False

    def end_asking(self) -> None:
        self._asked = True

    def lose(self) -> None:
        self.begin_asking()
        self.lost.set()

    def require_asked(self) -> None:
        """Raises HostsNotAskedError."""
        if not self._asked:
            raise HostsNotAskedError("the hosts are being asked what they have seen of the store: nothing starts yet")
