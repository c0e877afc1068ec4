"""What a database refuses, in words of the domain: nothing of its library gets further than this."""

from itertools import pairwise

from sqlalchemy.exc import DBAPIError, IntegrityError

from evacuation.errors import EvacuateError, ObjectGoneError, StoreConflictError

DANGLING = "23503"
"""PostgreSQL's state for a foreign key to nothing; SQLite has words only."""
REMEDY = "`evacuate check` names what the store misses: put it back, or remove what refers to it"


def is_dangling(error: IntegrityError) -> bool:
    """A row refers to one that is not there; a constraint of any other kind is about two that are."""
    return getattr(error.orig, "sqlstate", None) == DANGLING or "FOREIGN KEY" in str(error.orig)


def refused(error: Exception) -> EvacuateError:
    """For a transaction that did not get through, however often it is tried."""
    if isinstance(error, IntegrityError) and is_dangling(error):
        return gone(f"what the store refers to is gone ({_said(error)})")
    if isinstance(error, DBAPIError):
        return StoreConflictError(f"the store refuses what was to be written ({_said(error)})", remedy=REMEDY)
    return gone(f"what the store had a moment ago is gone ({' '.join(str(error).split())})")


def gone(what: str) -> ObjectGoneError:
    return ObjectGoneError(what, remedy=REMEDY)


def _said(error: DBAPIError) -> str:
    """The table, and the database's own words without its statement and its values."""
    words = (error.statement or "").split()
    table = next((after for word, after in pairwise(words) if word in ("INTO", "UPDATE")), "")
    detail = getattr(getattr(error.orig, "diag", None), "message_detail", None)
    lines = str(error.orig).strip().splitlines()
    return f"{table}: {detail or (lines[0] if lines else type(error).__name__)}".removeprefix(": ")
