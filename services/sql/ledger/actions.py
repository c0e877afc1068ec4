"""The events of an instance's action: written once each, however often they are handed over."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation.messages import StepEvent
from services.sql.statements import add_all, execute
from services.sql.tables import ActionEventRow, ActionRow, EvacuationRow

_KNOWN = (
    select(ActionEventRow.attempt, ActionEventRow.name, ActionEventRow.started_at)
    .select_from(ActionRow)
    .outerjoin(ActionEventRow, col(ActionEventRow.evacuation_id) == col(ActionRow.evacuation_id))
    .where(col(ActionRow.evacuation_id) == bindparam("evacuation_id"))
)
"""No row at all: the action itself is gone."""


def write_events(session: Session, evacuation: EvacuationRow, events: Sequence[StepEvent]) -> None:
    """The evacuation is locked by the caller, so that two calls cannot write the same event. Of an action that somebody
    removed nothing is written."""
    if not events:
        return
    known = {tuple(row) for row in execute(session, _KNOWN, evacuation_id=evacuation.id)}
    if not known:
        return
    new: list[dict[str, object]] = []
    for event in events:
        key = (event.attempt, event.name, event.started_at)
        if key not in known:
            known.add(key)
            new.append({"evacuation_id": evacuation.id, **dict(event)})
    add_all(session, ActionEventRow, new)
