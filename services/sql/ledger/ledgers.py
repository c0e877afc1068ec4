"""What is asked of the ledger as a whole."""

from uuid import uuid4

from sqlmodel import Session, func, select

from evacuation.ledger import LedgerMark
from evacuation.messages import ProbeRequest, Reconcile, Reconciled
from evacuation.model import HostState, VmState
from evacuation.views import LedgerView
from services.sql.database import Database
from services.sql.ledger.position import current_mark, require_owner, require_sound
from services.sql.ledger.reconciling import reconcile
from services.sql.rows import questions
from services.sql.tables import IS_OPEN, EvacuationRow, HostRow, InstanceRow, LedgerRow, utc_now


class SqlLedger:
    """The ledger as a whole: its mark, its owner, and its reconciliation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def show(self) -> LedgerView:
        return self._database.read(_show)

    def require_sound(self) -> None:
        """Raises StoreBehindError, StoreOwnedError: nothing would be started."""
        self._database.read(require_sound)

    def require_owner(self, owner: str) -> None:
        """Raises StoreOwnedError: that control plane would write nothing."""
        self._database.read(require_owner, owner)

    def to_be_asked(self) -> tuple[tuple[ProbeRequest, ...], LedgerMark]:
        """Every host, and the mark that it is to remember."""
        return self._database.read(_to_be_asked)

    def hosts_up(self) -> tuple[ProbeRequest, ...]:
        return self._database.read(_hosts_up)

    def reconcile(self, found: Reconcile) -> Reconciled:
        return self._database.write(reconcile, found)

    def claim(self, owner: str) -> None:
        """The ledger is that owner's from here on, and nobody else's."""
        self._database.write(_claim, owner)


def _show(session: Session) -> LedgerView:
    row = session.get(LedgerRow, 1) or LedgerRow(ledger="")
    living = select(func.count()).select_from(InstanceRow).where(InstanceRow.vm_state != VmState.DELETED)
    going = select(func.count()).select_from(EvacuationRow).where(IS_OPEN)
    return LedgerView(
        ledger=row.ledger,
        position=row.position,
        owner=row.owner,
        owned_at=row.owned_at,
        doubt=row.doubt,
        hosts_not_asked=tuple(row.unasked),
        hosts=session.exec(select(func.count()).select_from(HostRow)).one(),
        instances=session.exec(living).one(),
        open_evacuations=session.exec(going).one(),
    )


def _to_be_asked(session: Session) -> tuple[tuple[ProbeRequest, ...], LedgerMark]:
    return questions(session), current_mark(session)


def _hosts_up(session: Session) -> tuple[ProbeRequest, ...]:
    return questions(session, HostRow.state == HostState.UP)


def _claim(session: Session, owner: str) -> None:
    row = session.get(LedgerRow, 1, with_for_update=True) or LedgerRow(ledger=str(uuid4()))
    row.owner, row.owned_at = owner, utc_now()
    session.add(row)
