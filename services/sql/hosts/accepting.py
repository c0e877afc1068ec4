"""Another board, or a system that was reinstalled, takes the name of a host: because a person says that nothing of
the one before runs any more."""

from sqlmodel import Session

from evacuation import messages as m
from evacuation.errors import HostAnswersError, HostIdentityError, SourceNotFencedError
from evacuation.identity import ReplacedIdentity
from evacuation.model import Evidence, EvidenceKind
from services.sql.hosts.boards import identity_of, is_replaced
from services.sql.hosts.identity import refuse_other_host
from services.sql.ledger.evidence import current_evidence, record_evidence
from services.sql.ledger.position import require_sound
from services.sql.rows import lock_host
from services.sql.tables import HostRow, utc_now

ASK_AGAIN = "look at it, and ask again"


def accept(session: Session, asked: m.AcceptIdentity) -> None:
    """In one transaction: the word is evidence about the last boot of the board before, that boot's only proof from now
    on, and the host is down; whoever was found is the host, or else whoever comes next and is none of those before. A
    call that is repeated changes nothing. Raises HostAnswersError, HostIdentityError, SourceNotFencedError."""
    require_sound(session)
    host = lock_host(session, asked.host)
    if _was_done(host, asked):
        return
    _refuse_what_moved(host, asked)
    if asked.found is None or asked.found != identity_of(host):
        _refuse_known_boot(host, asked)
        _take_in(session, host, asked)
    _say_again(session, host, asked)


def _was_done(host: HostRow, asked: m.AcceptIdentity) -> bool:
    """By an execution before this one; the new board may have come since."""
    now = identity_of(host)
    return is_replaced(host, asked.incarnation) and now != asked.known and asked.found in (None, now)


def _refuse_what_moved(host: HostRow, asked: m.AcceptIdentity) -> None:
    if (host.incarnation, identity_of(host)) != (asked.incarnation, asked.known):
        raise HostAnswersError(
            f"{host.name} has changed meanwhile: it is {identity_of(host) or 'nobody yet'}, in boot {host.incarnation}",
            remedy=ASK_AGAIN,
        )
    if host.incarnation is None:
        raise HostIdentityError(
            f"{host.name} has never come back: whoever registers first is it", remedy="start its host worker"
        )


def _refuse_known_boot(host: HostRow, asked: m.AcceptIdentity) -> None:
    known = {host.incarnation, *(each.incarnation for each in host.replaced or ())}
    if asked.found is not None and asked.found_incarnation in known:
        raise HostAnswersError(
            f"{asked.found} runs in boot {asked.found_incarnation}, in which guests of {host.name} were started: "
            "that boot is not over",
            remedy="boot it again, or give it back the machine id that it had",
        )


def _take_in(session: Session, host: HostRow, asked: m.AcceptIdentity) -> None:
    if asked.found is not None:
        refuse_other_host(session, host.name, asked.found)
    if asked.known is not None and not is_replaced(host, host.incarnation):
        _replace(session, host, asked)
    host.hypervisor_uuid = asked.found.hypervisor_uuid if asked.found else None
    host.machine_id = asked.found.machine_id if asked.found else None
    host.refused = None


def _replace(session: Session, host: HostRow, asked: m.AcceptIdentity) -> None:
    record_evidence(session, _word(host.name, asked, host.incarnation))
    if current_evidence(session, host.name, host.incarnation) is None:
        raise SourceNotFencedError(
            f"a word alone does not prove that the board of {host.name} is off: the fencing policy asks for more",
            remedy=f"evacuate host down {host.name} --power-off; then accept again",
        )
    host.replaced = [*(host.replaced or ()), _before(host, asked)]


def _say_again(session: Session, host: HostRow, asked: m.AcceptIdentity) -> None:
    """Of boards before, too, that were heard of since they were said to be gone."""
    for each in host.replaced or ():
        if each.seen_at is not None:
            record_evidence(session, _word(host.name, asked, each.incarnation))
    host.replaced = [_anew(each, asked) if each.seen_at else each for each in host.replaced or ()] or None


def _before(host: HostRow, asked: m.AcceptIdentity) -> ReplacedIdentity:
    return ReplacedIdentity(
        hypervisor_uuid=host.hypervisor_uuid or "",
        machine_id=host.machine_id or "",
        incarnation=host.incarnation or "",
        who=asked.who,
        said=asked.statement,
        said_at=utc_now(),
    )


def _anew(board: ReplacedIdentity, asked: m.AcceptIdentity) -> ReplacedIdentity:
    return board.model_copy(update={"who": asked.who, "said": asked.statement, "said_at": utc_now(), "seen_at": None})


def _word(host: str, asked: m.AcceptIdentity, incarnation: str | None) -> Evidence:
    return Evidence(
        kind=EvidenceKind.OPERATOR,
        host=host,
        incarnation=incarnation,
        who=asked.who,
        reason=asked.statement,
        at=utc_now(),
    )
