"""What a host remembers of the ledger that its guests are started by: the host is a witness of how far it had come."""

import threading
from pathlib import Path

from evacuation.ledger import LedgerMark
from services.runtime.durable_files import read, write

MARK = "ledger.json"
"""The file, where a host keeps what is its own."""


class HostLedger:
    """The port `LedgerMemory`, in one file; without a path it lasts as long as its process. Safe to use from many
    threads."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._known = read(path, LedgerMark) if path is not None else None

    def known(self) -> LedgerMark | None:
        with self._guard:
            return self._known

    def note(self, mark: LedgerMark | None) -> None:
        with self._guard:
            if mark is None or not mark.succeeds(self._known):
                return
            if self._path is not None:
                write(self._path, mark)
            self._known = mark
