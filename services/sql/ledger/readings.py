"""What the power of hosts last read: for a while that serves all who rely on what is said of a host.

A clock on the wall that is set back would make what is old new. So whoever has recorded a reading himself goes by a
clock that nobody sets; of a reading of another process only the time is known."""

import threading
import time
from datetime import datetime

from sqlmodel import Session

from evacuation.fencing import policy_of
from evacuation.model import PowerReading
from services.sql.tables import PowerReadingRow

MOST = 1000
"""Recordings that a process remembers. Of those before it knows the time, as of another process's."""
_OWN: dict[tuple[str, datetime], float] = {}
_GUARD = threading.Lock()


def ticks() -> float:
    """Seconds since the machine started; time that it slept counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def note_reading(session: Session, host: str, reading: PowerReading, at: datetime) -> None:
    session.merge(PowerReadingRow(host=host, reading=reading, at=at))
    note_own(host, at)


def note_own(host: str, at: datetime) -> None:
    """It was read just now, in this process."""
    with _GUARD:
        while len(_OWN) >= MOST:
            del _OWN[next(iter(_OWN))]
        _OWN[host, at] = ticks()


def is_fresh(session: Session, host: str, at: datetime, now: datetime) -> bool:
    """Whether what was read then is good still."""
    policy, noted = policy_of(session.info), _OWN.get((host, at))
    return policy.is_recent(at, now) if noted is None else ticks() - noted <= policy.reading_age.total_seconds()


def forget_reading(session: Session, host: str) -> None:
    """It was wrong, or is not so any more."""
    row = session.get(PowerReadingRow, host)
    if row is not None:
        session.delete(row)


def is_read(session: Session, host: str, now: datetime) -> bool:
    """Whether its power was read a short while ago, or could not be. One that read on is never kept."""
    row = session.get(PowerReadingRow, host)
    return row is not None and is_fresh(session, host, row.at, now)
