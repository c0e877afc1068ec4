"""The events of an instance's action: written once each, however often they are handed over."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation.messages import StepEvent
from services.sql.statements import add_all, execute
from services.sql.tables import ActionEventRow, EvacuationRow

_KNOWN = select(ActionEventRow.attempt, ActionEventRow.name, ActionEventRow.started_at).where(
    col(ActionEventRow.evacuation_id) == bindparam("evacuation_id")
)


def write_events(session: Session, evacuation: EvacuationRow, events: Sequence[StepEvent]) -> None:
    """The evacuation is locked by the caller, so that two calls cannot write the same event."""
    if not events:
        return
    known = {tuple(row) for row in execute(session, _KNOWN, evacuation_id=evacuation.id)}
    new: list[dict[str, object]] = []
    for event in events:
        key = (event.attempt, event.name, event.started_at)
        if key not in known:
            known.add(key)
            new.append({"evacuation_id": evacuation.id, **dict(event)})
    add_all(session, ActionEventRow, new)
