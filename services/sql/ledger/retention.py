"""What an operator reads of evacuations that ended long ago goes; what decides anything stays for ever.

The events of an action are nine rows in ten of what an evacuation leaves. The evacuation itself, its attempts, their
epochs and residences are kept: they make a late call stale, and no epoch is given twice."""

from datetime import timedelta

from sqlalchemy import bindparam, delete
from sqlmodel import Session, col, select

from services.sql.database import RETENTION
from services.sql.statements import execute, table_of
from services.sql.tables import ActionEventRow, ActionRow, utc_now

AT_ONCE = 100
"""As many a closing evacuation looks at, the oldest first: more than one leaves, so that they become fewer. Those of
actions that have not ended are not counted: however long they wait, nobody else's stay for their sake."""

_EVENTS = table_of(ActionEventRow)
_HAS_ENDED = select(ActionRow.evacuation_id).where(
    col(ActionRow.evacuation_id) == col(ActionEventRow.evacuation_id), col(ActionRow.finished_at).is_not(None)
)
_OLDEST = (
    select(ActionEventRow.id, ActionEventRow.started_at)
    .where(_HAS_ENDED.exists())
    .order_by(col(ActionEventRow.id))
    .limit(AT_ONCE)
)
_DROP = delete(_EVENTS).where(_EVENTS.c.id.in_(bindparam("ids", expanding=True)))


def prune(session: Session) -> int:
    """How many events went: those that began before the retention, of actions that have ended. Bounded, whatever the
    store has."""
    kept: timedelta | None = session.info.get(RETENTION)
    if not kept:
        return 0
    before = utc_now() - kept
    old = [id for id, began in execute(session, _OLDEST) if began < before]
    if old:
        execute(session, _DROP, ids=old)
    return len(old)
