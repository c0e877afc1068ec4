"""The ledger's position, and whose it is: written at the end of every transaction that a restored backup must not
repeat, after all of its other locks, and looked at before anything is begun, fenced, authorised or registered.

Lock order: instance, evacuation, fleet, host, ledger."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Select, bindparam, func, select, update
from sqlmodel import Session

from evacuation.errors import StoreBehindError, StoreOwnedError
from evacuation.ledger import LedgerMark, StartMark, Witness, why_not
from services.sql.ledger.witnesses import Witnesses
from services.sql.statements import add, execute, table_of
from services.sql.tables import InstanceRow, LedgerRow, utc_now

EVERY: frozenset[str] = frozenset()
WATCHED: Mapping[str, frozenset[str]] = {
    "attempt": EVERY,
    "evacuation": EVERY,
    "evidence": EVERY,
    "residence": EVERY,
    "host": frozenset({"incarnation", "replaced"}),
    "instance": frozenset({"last_epoch", "power_state"}),
}
"""Tables, and which of their columns: whoever writes them gives an epoch, authorises or records a start, writes a
proof, records or voids evidence, registers a boot, or begins, undoes or closes an evacuation."""

OWNER = "owner"
"""Key of a session's `info`: the Temporal namespace that it writes for."""
SEEN = "seen"
"""Likewise: what this process had seen of the ledger when the session began. A reading is of that moment: what is
written while it goes on is ahead of it, and no sign."""
RECONCILE = "run: evacuate store reconcile"
_GROWN = "ledger has grown"
_STATEMENT = re.compile(
    r'\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)"?\s*(.*?)(?:\sWHERE\s|\sVALUES\s|\sRETURNING\s|$)',
    re.DOTALL | re.IGNORECASE,
)
_COLUMN = re.compile(r"\w+")

_TABLE = table_of(LedgerRow)
_READ: Select[Any] = select(_TABLE).where(_TABLE.c.id == 1)
_ADVANCE = (
    update(_TABLE)
    .where(_TABLE.c.id == 1)
    .values(
        position=_TABLE.c.position + 1,
        owner=func.coalesce(_TABLE.c.owner, bindparam("by")),
        owned_at=func.coalesce(_TABLE.c.owned_at, bindparam("since", type_=_TABLE.c.owned_at.type)),
    )
    .returning(*_TABLE.c)
)


@lru_cache(maxsize=1024)
def grows(statement: str) -> bool:
    """Whether the statement writes what is watched: by its text, so that nobody's way to write goes past."""
    found = _STATEMENT.match(statement)
    if found is None or found[1] not in WATCHED:
        return False
    watched = WATCHED[found[1]]
    return watched is EVERY or not watched.isdisjoint(_COLUMN.findall(found[2]))


def watch(connection: Connection, cursor: object, statement: str, *_: object) -> None:
    """Listens to every statement of a database. What a transaction that was rolled back has left makes the next one
    of that connection grow: that is harmless."""
    if statement[:1] in "IUDiud" and grows(statement):
        connection.info[_GROWN] = True


def close(session: Session, *, mark: bool) -> LedgerMark | None:
    """The last statement of a transaction that writes: the position, if it has grown or a mark is asked for. Raises
    StoreOwnedError."""
    session.flush()
    owner: str | None = session.info.get(OWNER)
    if not session.connection().info.pop(_GROWN, False):
        row = _row(session) if mark or owner is not None else None
        if row is None or _require_owner(row, owner) is not None or owner is None:
            return mark_of(row) if row is not None and mark else None
    since = utc_now() if owner is not None else None
    row = execute(session, _ADVANCE, by=owner, since=since).first() or _make(session, owner, since)
    _require_owner(row, owner)
    return mark_of(row)


def require_sound(session: Session, *witnesses: Witness | None) -> None:
    """The ledger is this control plane's, and nobody has seen another one, or a later state of it. What was seen was
    seen before: it is compared with the ledger as it is now. Raises StoreOwnedError, StoreBehindError."""
    own: tuple[Witness, ...] = session.info.get(SEEN, ())
    seen = [*filter(None, witnesses), *own]
    row = _row(session)
    _require_owner(row, session.info.get(OWNER))
    now = mark_of(row)
    for witness in (*filter(None, (row.doubt,)), *seen):
        why = why_not(now, witness)
        if why is not None or witness is row.doubt:
            line = why or f"the store is older than what {witness.who} has seen of it"
            raise StoreBehindError(line, remedy=RECONCILE, witness=witness)


def require_owner(session: Session, owner: str) -> None:
    """Raises StoreOwnedError."""
    _require_owner(_row(session), owner)


def require_asked(session: Session) -> None:
    """Nothing starts before the hosts were asked. Raises HostsNotAskedError."""
    own: Witnesses | None = session.info.get(Witnesses)
    if own is not None:
        own.require_asked()


def require_sound_for(session: Session, instance: InstanceRow, mark: StartMark | None) -> None:
    """As `require_sound`, by the latest evacuation of the instance too; and that one has started no guest of an epoch
    that this ledger has not given."""
    if mark is None:
        require_sound(session)
        return
    witness = Witness(who=f"the last evacuation of {instance.name}", mark=mark)
    require_sound(session, witness)
    if mark.epoch > instance.last_epoch:
        known = f"epoch {mark.epoch}, and the store knows of {instance.last_epoch}"
        line = f"the store is older than {witness.who}: that was about to start {known}"
        raise StoreBehindError(line, remedy=RECONCILE, witness=witness)


def note_doubt(session: Session, witness: Witness) -> None:
    """Kept for every other control worker, until somebody has reconciled the ledger."""
    known = session.get(LedgerRow, 1)
    if known is not None and (known.doubt is None or known.doubt.mark.position < witness.mark.position):
        known.doubt = witness


def mark_of(row: Any) -> LedgerMark:
    return LedgerMark(ledger=row.ledger, position=row.position, replaces=tuple(row.replaces))


def current_mark(session: Session) -> LedgerMark:
    return mark_of(_row(session))


def _row(session: Session) -> Any:
    """A store whose row is gone is another ledger, until somebody writes."""
    return execute(session, _READ).first() or LedgerRow(ledger="")


def _make(session: Session, owner: str | None, since: datetime | None) -> LedgerRow:
    return add(session, LedgerRow(ledger=str(uuid4()), owner=owner, owned_at=since))


def _require_owner(row: Any, owner: str | None) -> str | None:
    """Whose it is. Raises StoreOwnedError."""
    if owner is not None and row.owner not in (None, owner):
        raise StoreOwnedError(
            f"the store belongs to another control plane (Temporal namespace {row.owner}, this one's is {owner})",
            remedy="end the other one's workers for good, then say: evacuate store claim",
        )
    return row.owner
