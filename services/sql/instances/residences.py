"""Where guests may exist, or have existed, as it is shown."""

from sqlmodel import Session, col, select

from evacuation import views as v
from evacuation.model import Evidence
from services.sql.tables import InstanceRow, ResidenceRow


def residences(session: Session) -> tuple[v.ResidenceView, ...]:
    """In the order of creation."""
    names = dict(session.exec(select(InstanceRow.id, InstanceRow.name)).all())
    order = (col(ResidenceRow.created_at), col(ResidenceRow.instance_id), col(ResidenceRow.epoch))
    rows = session.exec(select(ResidenceRow).order_by(*order)).all()
    return tuple(
        v.ResidenceView(
            **row.model_dump(include={"instance_id", "host", "incarnation", "epoch", "started_at"}),
            instance=names[row.instance_id],
            proof=_proof(row.proof) if row.proof else None,
            moved_from=tuple(f"{each.host}: {_proof(each)}" for each in row.moved_from or ()),
        )
        for row in rows
    )


def _proof(evidence: Evidence) -> str:
    return "; ".join(f"{each.kind}: {each.reason}" for each in (evidence, *evidence.also))
