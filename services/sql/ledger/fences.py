"""The port `EvidenceStore`."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from evacuation.errors import PowerUnreadError
from evacuation.messages import AcceptIdentity, FenceRequest
from evacuation.model import Evidence, PowerReading
from services.sql.database import Database
from services.sql.hosts.accepting import accept
from services.sql.instances.deleting import deleted_on, release_deleted
from services.sql.ledger.cutting import begin_cut, end_cut, require_cut
from services.sql.ledger.evidence import (
    current_evidence,
    open_fence,
    record_evidence,
    record_reading,
    registered_boot,
    usable_evidence,
    void_evidence,
)


class SqlEvidence:
    """Every call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_fence(self, request: FenceRequest) -> Evidence | None:
        return self._database.write(open_fence, request)

    def registered_boot(self, host: str) -> str | None:
        return self._database.read(registered_boot, host)

    def begin_cut(self, request: FenceRequest, by: str, until: datetime) -> Evidence | None:
        return self._database.write(begin_cut, request, by, until)

    def require_cut(self, request: FenceRequest, by: str, until: datetime) -> None:
        self._database.read(require_cut, request, by, until)

    def end_cut(self, host: str, by: str, proofs: Sequence[Evidence], until: datetime | None = None) -> None:
        self._database.write(end_cut, host, by, proofs, until)
        if proofs:
            self._release_deleted(host)

    def current_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        return self._database.read(current_evidence, host, incarnation, instance_id)

    def usable_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        return self._database.write(usable_evidence, host, incarnation, instance_id)

    def accept(self, asked: AcceptIdentity) -> None:
        self._database.write(accept, asked)
        self._release_deleted(asked.host)

    def record_reading(self, host: str, reading: PowerReading, since: datetime) -> None:
        self._database.write(record_reading, host, reading, since)

    def record_evidence(self, evidence: Evidence) -> Evidence:
        recorded = self._database.write(record_evidence, evidence)
        self._release_deleted(evidence.host)
        return recorded

    def void_evidence(self, host: str, incarnation: str, why: str) -> None:
        self._database.write(void_evidence, host, incarnation, why)

    def _release_deleted(self, host: str) -> None:
        """Each in a transaction of its own: an instance is locked before its host is. What is left if this dies is
        released by the host's return, or by a deletion that is asked for again; so is what waits for a reading of the
        host's power."""
        for instance_id in self._database.read(deleted_on, host):
            with suppress(PowerUnreadError):
                self._database.write(release_deleted, host, instance_id)
