"""The power of hosts, read before what was said of them is used."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from evacuation.errors import FenceFailedError, PowerUnreadError
from evacuation.model import PowerReading
from evacuation.ports import EvidenceStore, FencingDriver

T = TypeVar("T")
TRIES = 3


class PowerReader:
    def __init__(self, evidence: EvidenceStore, fencing: FencingDriver) -> None:
        self._evidence = evidence
        self._fencing = fencing

    def read(self, host: str) -> PowerReading:
        """Of now. Nothing is recorded."""
        if not self._fencing.is_able(host):
            return PowerReading.UNKNOWN
        try:
            return PowerReading.OFF if self._fencing.is_off(host) else PowerReading.ON
        except FenceFailedError:
            return PowerReading.UNKNOWN

    def look(self, host: str) -> PowerReading:
        """Read and recorded, for all who rely on what is said of that host: on voids it, the other two leave it."""
        since = datetime.now(UTC)
        reading = self.read(host)
        self._evidence.record_reading(host, reading, since)
        return reading

    def first(self, use: Callable[[], T]) -> T:
        """`use`, after the power was read of each host for which the store asks that."""
        for _ in range(TRIES):
            try:
                return use()
            except PowerUnreadError as error:
                for each in error.hosts:
                    self.look(each.host)
        return use()
