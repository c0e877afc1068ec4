"""The events of an instance's action: written once each, however often they are handed over."""

from collections.abc import Sequence

from sqlmodel import Session, select

from evacuation.messages import StepEvent
from services.sql.tables import ActionEventRow, EvacuationRow


def write_events(session: Session, evacuation: EvacuationRow, events: Sequence[StepEvent]) -> None:
    """The evacuation is locked by the caller, so that two calls cannot write the same event."""
    if not events:
        return
    known = _known(session, evacuation.id)
    for event in events:
        key = (event.attempt, event.name, event.started_at)
        if key not in known:
            known.add(key)
            session.add(ActionEventRow(evacuation_id=evacuation.id, **event.model_dump()))


def _known(session: Session, evacuation_id: str) -> set[tuple[int, str, object]]:
    columns = (ActionEventRow.attempt, ActionEventRow.name, ActionEventRow.started_at)
    return set(session.exec(select(*columns).where(ActionEventRow.evacuation_id == evacuation_id)).all())
