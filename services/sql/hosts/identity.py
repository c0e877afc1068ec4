"""Whether who comes back by the name of a host is that host."""

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import HostIdentityError
from evacuation.identity import Identity, RefusedIdentity
from evacuation.request import accept_remedy
from services.sql.hosts.boards import identity_of, was_before
from services.sql.ledger.evidence import void
from services.sql.rows import lock_host
from services.sql.tables import HostRow, utc_now

ANSWERED = "a worker of that boot has answered"


def identify(session: Session, host: HostRow, report: m.HostReport) -> None:
    """Who registers first under a name is that host from then on, until a person accepts another one. Raises
    HostIdentityError."""
    found = report.identity
    _refuse_another(host, found)
    refuse_other_host(session, host.name, found)
    host.hypervisor_uuid, host.machine_id, host.refused = found.hypervisor_uuid, found.machine_id, None
    _void_as_another(session, report)


def _refuse_another(host: HostRow, found: Identity) -> None:
    known = identity_of(host)
    if known is None and was_before(host, found):
        raise HostIdentityError(
            f"{found} is what {host.name} was before; another board is to come in its place",
            remedy=accept_remedy(host.name, "if this one is to be it again"),
        )
    if known is not None and known != found:
        raise HostIdentityError(
            f"{host.name} is {known}; {found} answers in its place",
            remedy="start the worker on the right machine, or under the right host name; "
            + accept_remedy(host.name, "if it is the new board, or was reinstalled"),
        )


def refuse_other_host(session: Session, host: str, found: Identity) -> None:
    """Raises HostIdentityError: the board is another host's of the fleet."""
    same = select(HostRow.name).where(HostRow.hypervisor_uuid == found.hypervisor_uuid, HostRow.name != host)
    other = session.exec(same).first()
    if other is not None:
        raise HostIdentityError(
            f"hypervisor {found.hypervisor_uuid} is known as {other} already",
            remedy=f"start its worker as {other}, or accept another board as {other} first",
        )


def note_refused(session: Session, report: m.HostReport, why: str) -> None:
    """Kept until the host itself comes back, for whoever looks for it. What was said of the boot that answers is void,
    whatever its name and its board are called now."""
    host, found = session.get(HostRow, report.host), report.identity
    if host is None or identity_of(lock_host(session, report.host)) == found:
        return
    host.refused = RefusedIdentity(**dict(found), incarnation=report.incarnation, why=why, refused_at=utc_now())
    void(session, host.name, report.incarnation, ANSWERED)
    _void_as_another(session, report)


def _void_as_another(session: Session, report: m.HostReport) -> None:
    """A board that was taken out of another host of the fleet, and runs on in the same boot."""
    with_boards = (col(HostRow.replaced).is_not(None), HostRow.name != report.host)
    for other in session.exec(select(HostRow).where(*with_boards).order_by(col(HostRow.name))).all():
        boots = [each.incarnation for each in other.replaced or () if Identity.of(each) == report.identity]
        if report.incarnation in boots:
            void(session, lock_host(session, other.name).name, report.incarnation, ANSWERED)
