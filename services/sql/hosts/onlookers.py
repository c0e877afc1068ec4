"""Other hosts look on while the power of one is cut: who falls silent with it was cut in its place."""

from collections.abc import Collection

from sqlmodel import Session, col, select

from evacuation.errors import WrongMachineError
from evacuation.messages import FenceRequest, ProbeRequest
from evacuation.model import HostState
from services.sql.database import Database
from services.sql.ledger.candidates import FEW
from services.sql.rows import lock_host, questions
from services.sql.tables import CutRow, FenceRow, HostRow

MOST = 64


class SqlOnlookers:
    """The port `OnlookerStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def around(self, host: str) -> tuple[ProbeRequest, ...]:
        return self._database.read(_around, host)

    def note_seen(self, host: str, by: str, names: Collection[str]) -> None:
        self._database.write(_note_seen, host, by, names)

    def concerned(self, host: str) -> tuple[ProbeRequest, ...]:
        return self._database.read(_concerned, host)

    def raise_alarm(self, request: FenceRequest, why: str) -> None:
        self._database.write(_raise_alarm, request, why)

    def forget_alarm(self, request: FenceRequest) -> None:
        self._database.write(_forget_alarm, request)

    def require_no_alarm(self, request: FenceRequest) -> None:
        self._database.read(require_no_alarm, request)


def seen_before(session: Session, host: str) -> frozenset[str]:
    """Who answered before a cut of the host that nobody has ended."""
    cuts = session.exec(select(CutRow).where(CutRow.host == host)).all()
    return frozenset(name for cut in cuts for name in cut.seen or ())


def require_no_alarm(session: Session, request: FenceRequest) -> None:
    """Raises WrongMachineError."""
    row = _fence(session, request)
    if row is not None and row.alarm is not None:
        raise WrongMachineError(
            row.alarm,
            remedy=f"mend the entries of the BMCs, then: evacuate host down {request.host} --power-off; or see it off:"
            f' evacuate host down {request.host} --confirmed-off "who saw it, how"',
        )


def alarms(session: Session, hosts: Collection[str]) -> dict[tuple[str, str], str]:
    """By host and boot."""
    raised = select(FenceRow.host, FenceRow.incarnation, FenceRow.alarm).where(col(FenceRow.alarm).is_not(None))
    if len(hosts) <= FEW:
        raised = raised.where(col(FenceRow.host).in_(hosts))
    return {(host, incarnation): alarm or "" for host, incarnation, alarm in session.exec(raised).all()}


def _around(session: Session, host: str) -> tuple[ProbeRequest, ...]:
    here = session.get_one(HostRow, host).position
    return questions(session, HostRow.name != host, HostRow.state == HostState.UP, near=here, most=MOST)


def _concerned(session: Session, host: str) -> tuple[ProbeRequest, ...]:
    return questions(session, col(HostRow.name).in_([host, *seen_before(session, host)]))


def _note_seen(session: Session, host: str, by: str, names: Collection[str]) -> None:
    lock_host(session, host)
    row = session.get(CutRow, (host, by))
    if row is not None:
        row.seen = sorted({*names, *seen_before(session, host)})


def _raise_alarm(session: Session, request: FenceRequest, why: str) -> None:
    lock_host(session, request.host)
    row = _fence(session, request) or FenceRow(
        host=request.host, incarnation=request.incarnation or "", who=request.who
    )
    row.alarm = why
    session.add(row)


def _forget_alarm(session: Session, request: FenceRequest) -> None:
    row = _fence(session, request)
    if row is not None:
        row.alarm = None


def _fence(session: Session, request: FenceRequest) -> FenceRow | None:
    return session.get(FenceRow, (request.host, request.incarnation or ""))
