"""Whether the source is still off, as it was when the evacuation's run looked: one check for all that relies on it."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import SourceReturnedError
from evacuation.model import Evidence
from services.sql.ledger.evidence import usable_evidence
from services.sql.ledger.unproven import ASK_AGAIN, unproven
from services.sql.rows import LOCK, lock_host
from services.sql.statements import change
from services.sql.tables import EvacuationRow, HostRow, InstanceRow

_WAITING = (
    select(EvacuationRow)
    .where(
        col(EvacuationRow.source) == bindparam("source"),
        EvacuationRow.phase == m.AttemptPhase.UNDONE,
        col(EvacuationRow.waits).is_(True),
        col(EvacuationRow.yielded_to).is_(None),
    )
    .order_by(col(EvacuationRow.id))
    .with_for_update(**LOCK)
    .execution_options(populate_existing=True)
)


def compare_source(session: Session, message: m.Begin) -> Evidence | None:
    """Under the source's lock: it is in the boot that was checked, and what proved it off still does. None: nothing
    did. Raises SourceReturnedError, PowerReadsOnError, PowerUnreadError."""
    asked = message.instance
    _refuse_other_boot(lock_host(session, asked.source), message.source_incarnation, asked.name)
    if message.evidence is None:
        return None
    found = usable_evidence(session, asked.source, message.source_incarnation, asked.id)
    if found is None:
        raise unproven(session, asked.name, asked.source, message.source_incarnation)
    return found


def rely_on_source(session: Session, instance: InstanceRow, evacuation: EvacuationRow) -> None:
    """Before anything is taken from the instance. An evacuation that began without evidence is compared with the boot
    that was checked, as at its beginning; one that has some noted holds its source, and a new boot of that proves the
    older one over. Raises SourceReturnedError, PowerReadsOnError, ResidenceNotProvenError, PowerUnreadError."""
    source, boot = evacuation.source, evacuation.source_incarnation
    host = lock_host(session, source)
    if evacuation.evidence is None:
        _refuse_other_boot(host, boot, instance.name)
    found = usable_evidence(session, source, boot, instance.id)
    if found is None:
        raise unproven(session, instance.name, source, boot)
    change(session, evacuation, evidence=evacuation.evidence or found)


def lock_waiting(session: Session, host: str) -> Sequence[EvacuationRow]:
    """Evacuations from there that only wait for capacity, in a fixed order: locked before the host is, so that none of
    them makes its claim any more before the commit."""
    return session.exec(_WAITING, params={"source": host}).all()


def refuse_yielded(instance: InstanceRow, evacuation: EvacuationRow) -> None:
    if evacuation.yielded_to is not None:
        raise SourceReturnedError(
            f"{evacuation.source} came back while {instance.name} waited for capacity, and has it again",
            remedy=ASK_AGAIN,
        )


def _refuse_other_boot(host: HostRow, checked: str | None, instance: str) -> None:
    if host.incarnation != checked:
        raise SourceReturnedError(
            f"{host.name} has booted again since it was checked, and {instance} belongs there", remedy=ASK_AGAIN
        )
