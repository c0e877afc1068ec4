"""What the rows were at the last look: what may only grow, and what may never change, is compared with it."""

from sqlmodel import Session, col, select

from evacuation.messages import AttemptPhase
from evacuation.model import EvidenceKind
from services.sql.tables import EvacuationRow, InstanceRow, PortBindingRow, ResidenceRow, VolumeRow
from tests.machines.cloud import Cloud


class Seen:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.epochs: dict[str, int] = {}
        residences = cloud.services.views.residences()
        self.proven = {(row.instance_id, row.epoch): row.proof or "" for row in residences}

    def look(self, session: Session) -> None:
        for row in session.exec(select(InstanceRow)).all():
            assert row.last_epoch >= self.epochs.get(row.id, 0), "epochs only grow"
            self.epochs[row.id] = row.last_epoch
        self._look_at_proofs(session)
        self._look_at_open(session)
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
            open_here = (EvacuationRow.instance_id == row.instance_id, EvacuationRow.phase != AttemptPhase.CLOSED)
            assert len(session.exec(select(EvacuationRow).where(*open_here)).all()) <= 1, "one open evacuation"
