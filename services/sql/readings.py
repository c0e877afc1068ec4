"""What the power of hosts last read: for a while that serves all who rely on what is said of a host."""

from datetime import datetime

from sqlmodel import Session

from evacuation.fencing import policy_of
from evacuation.model import PowerReading
from services.sql.tables import PowerReadingRow


def note_reading(session: Session, host: str, reading: PowerReading, at: datetime) -> None:
    session.merge(PowerReadingRow(host=host, reading=reading, at=at))


def forget_reading(session: Session, host: str) -> None:
    """It was wrong, or is not so any more."""
    row = session.get(PowerReadingRow, host)
    if row is not None:
        session.delete(row)


def is_read(session: Session, host: str, now: datetime) -> bool:
    """Whether its power was read a short while ago, or could not be. One that read on is never kept."""
    row = session.get(PowerReadingRow, host)
    return row is not None and policy_of(session.info).is_recent(row.at, now)
