"""The cutting of a host's power, announced before it begins: nothing starts there, and nobody comes back under it."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from evacuation.errors import CutOverError, FenceDeclinedError, SourceReturnedError
from evacuation.messages import FenceRequest
from evacuation.model import Evidence, HostState
from services.sql.hosts.boards import is_replaced
from services.sql.hosts.onlookers import require_no_alarm, seen_before
from services.sql.hosts.sightings import seen_on
from services.sql.ledger.evidence import current_evidence, record_evidence, registered_boot
from services.sql.ledger.losses import refuse_second_cut
from services.sql.ledger.position import require_sound
from services.sql.rows import lock_host, unproven_on
from services.sql.tables import CutRow, HostRow, InstanceRow, utc_now


def begin_cut(session: Session, request: FenceRequest, by: str, until: datetime) -> Evidence | None:
    """The host is down, and being cut. Evidence: it is proven off already, or has booted again, and must not be cut.
    What a cut has seen that nobody has ended is kept. Raises SourceReturnedError, FenceDeclinedError,
    WrongMachineError."""
    require_sound(session)
    host = lock_host(session, request.host)
    if is_replaced(host, request.incarnation):
        raise SourceReturnedError(
            f"{host.name} has another board since: what is there now is not cut for the one before"
        )
    known = current_evidence(session, request.host, request.incarnation, request.instance_id)
    if known is not None:
        return known
    if host.incarnation != request.incarnation:
        raise SourceReturnedError(f"{host.name} has come up since, as {host.incarnation}: it is not cut")
    require_no_alarm(session, request)
    if request.spare_others:
        _refuse_others(session, host, request)
        refuse_second_cut(session, request)
    was_up = host.state is HostState.UP or any(each.was_up for each in _cuts(session, host.name))
    seen = sorted(seen_before(session, host.name))
    _drop_lapsed(session, host.name)
    session.merge(CutRow(host=host.name, by=by, incarnation=request.incarnation, until=until, was_up=was_up, seen=seen))
    host.state = HostState.DOWN
    return None


def require_cut(session: Session, request: FenceRequest, by: str, until: datetime) -> None:
    """It is this execution's, its time is not over, and the boot that is meant is still the last that registered.
    Raises CutOverError."""
    cut, boot = session.get(CutRow, (request.host, by)), registered_boot(session, request.host)
    if cut is None or cut.until != until or until <= utc_now():
        raise CutOverError(f"the cut of {request.host} is over before it was made: nothing is cut")
    if boot != request.incarnation:
        raise CutOverError(f"{request.host} has come up since, as {boot}: it is not cut")


def end_cut(
    session: Session, host_name: str, by: str, proofs: Sequence[Evidence], until: datetime | None = None
) -> None:
    """With what proves it off, about each boot that was there. Without, the cut failed, and the host is what it was
    before, unless somebody else cuts it too, or it has booted since. `until`: by the execution that announced it so.
    Raises CutOverError."""
    host = lock_host(session, host_name)
    cut = session.get(CutRow, (host_name, by))
    is_mine = until is None or (cut is not None and cut.until == until)
    if proofs and until is not None and (not is_mine or until <= utc_now()):
        raise CutOverError(f"the cut of {host_name} has ended too late: what it read back is not recorded")
    if not is_mine:
        return
    if cut is not None:
        session.delete(cut)
    _drop_lapsed(session, host_name)
    for each in proofs:
        record_evidence(session, each)
    failed = cut is not None and not proofs and cut.was_up and cut.incarnation == host.incarnation
    if failed and not _cuts(session, host_name) and current_evidence(session, host_name, host.incarnation) is None:
        host.state = HostState.UP


def is_being_cut(session: Session, host: str) -> bool:
    """One that is past its time is nobody's any more: who made it is gone, and nobody has made it again."""
    return any(each.until > utc_now() for each in _cuts(session, host))


def _cuts(session: Session, host: str) -> Sequence[CutRow]:
    return session.exec(select(CutRow).where(CutRow.host == host)).all()


def _drop_lapsed(session: Session, host: str) -> None:
    for each in _cuts(session, host):
        if each.until <= utc_now():
            session.delete(each)
    session.flush()


def _refuse_others(session: Session, host: HostRow, request: FenceRequest) -> None:
    """Under the lock: nothing can be authorised there between the look and the switching off."""
    others = [
        residence.instance_id
        for residence in unproven_on(session, host.name)
        if residence.incarnation == request.incarnation
    ]
    others = [
        each for each in (*others, *seen_on(session, host.name, request.incarnation)) if each != request.instance_id
    ]
    if others:
        where = col(InstanceRow.id).in_(others)
        names = session.exec(select(InstanceRow.name).where(where).order_by(col(InstanceRow.position))).all()
        raise FenceDeclinedError(
            f"{host.name} is not switched off: {', '.join(names)} may run there",
            remedy=f'confirm it off: evacuate host down {host.name} --confirmed-off "who and how"',
        )
