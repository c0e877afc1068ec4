"""Why a place where an instance may run is not proven empty, when it is to be."""

from sqlmodel import Session, col, select

from evacuation.errors import PowerReadsOnError, ResidenceNotProvenError, SourceReturnedError
from services.sql.ledger.evidence import READS_ON
from services.sql.tables import EvidenceRow

ASK_AGAIN = "if it is lost after all, ask for the evacuation again"


def unproven(
    session: Session, instance: str, host: str, incarnation: str | None
) -> PowerReadsOnError | SourceReturnedError | ResidenceNotProvenError:
    """There is no evidence; what was said last of that boot, if anything, was contradicted by somebody."""
    place = f"{host} (boot {incarnation or 'unknown'})"
    where = (EvidenceRow.host == host, EvidenceRow.incarnation == (incarnation or ""))
    voided = select(EvidenceRow.voided_why).where(*where, col(EvidenceRow.voided_at).is_not(None))
    why = session.exec(voided.order_by(col(EvidenceRow.voided_at).desc(), col(EvidenceRow.id).desc())).first()
    if why == READS_ON:
        return PowerReadsOnError(
            f"{place} was said to be off, and its power reads on: {instance} may run there",
            remedy=f"evacuate host down {host} --power-off",
        )
    if why is not None:
        return SourceReturnedError(
            f"{place} was seen alive after its fence: {instance} may run there", remedy=ASK_AGAIN
        )
    return ResidenceNotProvenError(f"{instance} may run on {place}", remedy=f"fence {host}, or confirm it off")
