"""What the rows were at the last look: what may only grow, and what may never change, is compared with it."""

from collections.abc import Mapping
from typing import TypeVar

from sqlmodel import Session, col, select

from evacuation.messages import AttemptPhase
from evacuation.model import EvidenceKind, MigrationStatus
from evacuation.transitions import MIGRATIONS, PHASES
from services.sql.tables import EvacuationRow, InstanceRow, MigrationRow, PortBindingRow, ResidenceRow, VolumeRow
from tests.machines.cloud import Cloud

T = TypeVar("T")


class Seen:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.epochs: dict[str, int] = {}
        self.phases: dict[str, AttemptPhase] = {}
        self.migrations: dict[str, MigrationStatus] = {}
        residences = cloud.services.views.residences()
        self.proven = {(row.instance_id, row.epoch): row.proof or "" for row in residences}

    def look(self, session: Session) -> None:
        for row in session.exec(select(InstanceRow)).all():
            assert row.last_epoch >= self.epochs.get(row.id, 0), "epochs only grow"
            self.epochs[row.id] = row.last_epoch
        self._look_at_proofs(session)
        self._look_at_open(session)
        self._look_at_migrations(session)
        for port_id in session.exec(select(PortBindingRow.port_id).distinct()).all():
            active = (PortBindingRow.port_id == port_id, col(PortBindingRow.active).is_(True))
            assert len(session.exec(select(PortBindingRow).where(*active)).all()) == 1, "one active binding"
        assert len(session.exec(select(VolumeRow)).all()) == 3, "no evacuation removes a volume"

    def _look_at_proofs(self, session: Session) -> None:
        for row in session.exec(select(ResidenceRow)).all():
            key, proof = (row.instance_id, row.epoch), row.proof
            known = self.proven.get(key)
            assert not (known and proof is None), "a proof stands"
            if key not in self.proven:
                assert row.epoch == max(e for i, e in [*self.proven, key] if i == row.instance_id), "a new one is newer"
            if proof is not None and not known and proof.kind in (EvidenceKind.POWER_OFF, EvidenceKind.OPERATOR):
                place = (row.host, row.incarnation)
                told = place in self.cloud.known_alive and self.cloud.metal.is_alive(*place)
                assert not told, f"{place} was known to be alive when it was proven empty"
            self.proven[key] = str(proof.kind) if proof else ""

    def _look_at_open(self, session: Session) -> None:
        for row in session.exec(select(EvacuationRow)).all():
            before = self.phases.get(row.id, row.phase)
            assert row.phase in reached(PHASES, before), f"{row.phase} after {before}"
            self.phases[row.id] = row.phase
            open_here = (EvacuationRow.instance_id == row.instance_id, EvacuationRow.phase != AttemptPhase.CLOSED)
            assert len(session.exec(select(EvacuationRow).where(*open_here)).all()) <= 1, "one open evacuation"

    def _look_at_migrations(self, session: Session) -> None:
        for row in session.exec(select(MigrationRow)).all():
            before = self.migrations.get(row.id, row.status)
            assert row.status in reached(MIGRATIONS, before), f"{row.status} after {before}"
            self.migrations[row.id] = row.status


def reached(table: Mapping[T, frozenset[T]], start: T) -> set[T]:
    """Since a look there may have been several steps."""
    found: set[T] = set()
    ahead = [start]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += table[one]
    return found
