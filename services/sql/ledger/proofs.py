"""Proofs that a place is empty, as they are kept with its residence."""

from evacuation.model import Evidence, EvidenceKind
from services.sql.tables import ResidenceRow, utc_now


def gone_from(residence: ResidenceRow, who: str, why: str) -> Evidence:
    """By its host's own answer, or by what a reconciliation has found of it."""
    return Evidence(
        kind=EvidenceKind.GUEST_GONE,
        host=residence.host,
        incarnation=residence.incarnation,
        who=who,
        reason=why,
        at=utc_now(),
        scope=residence.instance_id,
    )
