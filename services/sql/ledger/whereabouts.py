"""Which instances are known to run nowhere, whatever was recorded of their power last. Reads only."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from evacuation.model import EvidenceKind
from services.sql.ledger.evidence import current_evidence
from services.sql.statements import execute, table_of
from services.sql.tables import EvidenceRow, HostRow, ResidenceRow


class _Place(NamedTuple):
    """Where a guest may be: a host in one boot. `booted`: the host's boot now; `is_replaced`: of another board."""

    host: str
    incarnation: str | None
    booted: str | None
    is_replaced: bool


_BOOT = func.coalesce(col(ResidenceRow.incarnation), "")
_RESIDENCE, _HOST = table_of(ResidenceRow).c, table_of(HostRow).c
_UNPROVEN = (
    sa.select(_RESIDENCE.instance_id, _RESIDENCE.host, _RESIDENCE.incarnation, _HOST.incarnation, _HOST.replaced)
    .join(HostRow, col(HostRow.name) == col(ResidenceRow.host))
    .where(col(ResidenceRow.proof).is_(None))
)
_SAID = (
    select(EvidenceRow.host, EvidenceRow.incarnation, EvidenceRow.kind)
    .join(ResidenceRow, (col(ResidenceRow.host) == col(EvidenceRow.host)) & (col(EvidenceRow.incarnation) == _BOOT))
    .where(col(EvidenceRow.voided_at).is_(None), col(ResidenceRow.proof).is_(None))
    .distinct()
)


def somewhere(session: Session, instances: Sequence[str] | None = None) -> frozenset[str]:
    """Ids of the instances, of these or of all, whose guest may run where nothing proves, at this moment, that it does
    not. Once evidence is voided it proves nothing, and what was recorded before counts again."""
    return frozenset(_somewhere(session, instances))


def _somewhere(session: Session, instances: Sequence[str] | None) -> Iterator[str]:
    """Evidence is read for the places about which there is any: those are few."""
    where = () if instances is None else (col(ResidenceRow.instance_id).in_(instances),)
    said = defaultdict[tuple[str, str], set[EvidenceKind]](set)
    for host, boot, kind in execute(session, _SAID.where(*where)).all():
        said[host, boot].add(kind)
    known: dict[_Place, bool] = {}
    for instance_id, host, boot, booted, boards in execute(session, _UNPROVEN.where(*where)).all():
        place = _Place(host, boot, booted, is_replaced=any(each.incarnation == boot for each in boards or ()))
        kinds = said[place.host, place.incarnation or ""]
        if place not in known:
            known[place] = _is_off(session, place, kinds)
        if not known[place] and not _has_lost_its_disks(session, place, kinds, instance_id):
            yield instance_id


def _is_off(session: Session, place: _Place, kinds: set[EvidenceKind]) -> bool:
    """A newer boot of another board says nothing about the one before."""
    if place.booted is not None and place.incarnation not in (None, place.booted) and not place.is_replaced:
        return True
    return bool(kinds) and current_evidence(session, place.host, place.incarnation) is not None


def _has_lost_its_disks(session: Session, place: _Place, kinds: set[EvidenceKind], instance_id: str) -> bool:
    """What storage evidence proves, it proves of one guest."""
    if EvidenceKind.STORAGE_REVOKED not in kinds:
        return False
    return current_evidence(session, place.host, place.incarnation, instance_id) is not None
