"""What is known about which incarnation of which host is off."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation.errors import PowerUnreadError
from evacuation.fencing import VOIDABLE, covers, disks_in, disks_scope, only, policy_of
from evacuation.messages import FenceRequest
from evacuation.model import (
    AttachmentStatus,
    Evidence,
    EvidenceKind,
    HostState,
    PowerReading,
    Rejection,
    RootDisk,
)
from services.sql.hosts.boards import is_replaced, note_alive
from services.sql.ledger.position import require_sound
from services.sql.ledger.readings import forget_reading, is_fresh, is_read, note_own, note_reading
from services.sql.ledger.taken import taken_from
from services.sql.rows import lock_host
from services.sql.tables import AttachmentRow, BlockDeviceRow, EvidenceRow, FenceRow, HostRow, InstanceRow, utc_now

READS_ON = "its power reads on"
_CURRENT = (
    select(EvidenceRow)
    .where(
        col(EvidenceRow.host) == bindparam("host"),
        col(EvidenceRow.incarnation) == bindparam("incarnation"),
        col(EvidenceRow.voided_at).is_(None),
    )
    .order_by(col(EvidenceRow.id))
)


def current_evidence(
    session: Session, host: str, incarnation: str | None, instance_id: str | None = None
) -> Evidence | None:
    """Recorded about that incarnation, not voided, and enough for the policy; else, that the host has registered
    another one since. Storage evidence counts for the instance that is named, as far as its disks go."""
    found = _known(session, host, incarnation, instance_id)
    return policy_of(session.info).proof(found) or _superseded(session.get(HostRow, host), incarnation)


def usable_evidence(
    session: Session, host: str, incarnation: str | None, instance_id: str | None = None
) -> Evidence | None:
    """As `current_evidence`, for a transaction that acts by it: the host is locked, so that neither an answer nor a new
    boot comes between the look and the commit. A person's word, and power-off evidence that is not recent, count only
    after the host's power was read, a short while ago; disks that were taken away, and a new boot, in any case. So does
    what was said of a board that was replaced: its power is not the host's any more. Raises PowerUnreadError."""
    row, policy, now = lock_host(session, host), policy_of(session.info), utc_now()
    found = _known(session, host, incarnation, instance_id)
    if is_replaced(row, incarnation):
        return policy.proof(found)
    lasting = [each for each in found if not _must_be_read(session, each, now)]
    proof = policy.proof(lasting) or _superseded(row, incarnation) or policy.proof(found)
    if proof is None or not any(_must_be_read(session, each, now) for each in (proof, *proof.also)):
        return proof
    if any(each.kind is EvidenceKind.POWER_OFF for each in lasting) or is_read(session, host, now):
        return proof
    raise PowerUnreadError(
        f"the power of {host} must be read first", hosts=(Rejection(host=host, reason="its power must be read"),)
    )


def _must_be_read(session: Session, evidence: Evidence, now: datetime) -> bool:
    """Whether the host's power has the last word about it: a person may err, and what was off is switched on."""
    was_read = evidence.kind is EvidenceKind.POWER_OFF and is_fresh(session, evidence.host, evidence.at, now)
    return evidence.kind in VOIDABLE and not was_read


def registered_boot(session: Session, host: str) -> str | None:
    row = session.get(HostRow, host)
    return row.incarnation if row else None


def revoked_attachments(session: Session, host: str) -> frozenset[str]:
    """Attachments to that host, in whichever boot, whose disks were taken away for good."""
    return frozenset(attachment for _, attachment in taken_from(session, host))


def _known(session: Session, host: str, incarnation: str | None, instance_id: str | None) -> list[Evidence]:
    rows = _current(session, host, incarnation)
    disks = [_of(session, row, instance_id) for row in rows if row.kind is EvidenceKind.STORAGE_REVOKED]
    return [
        *(_value(row) for row in rows if row.kind is not EvidenceKind.STORAGE_REVOKED),
        *(each for each in disks if each is not None),
    ]


def _current(session: Session, host: str, incarnation: str | None) -> Sequence[EvidenceRow]:
    return session.exec(_CURRENT, params={"host": host, "incarnation": _key(incarnation)}).all()


def _of(session: Session, row: EvidenceRow, instance_id: str | None) -> Evidence | None:
    """What storage evidence says about one guest: nothing, unless it covers every disk that the guest could write,
    by every attachment that the guest has, or had, to that host."""
    instance = session.get(InstanceRow, instance_id) if instance_id else None
    if instance is None or instance.root_disk is not RootDisk.VOLUME:
        return None
    mine = select(BlockDeviceRow.volume_id).where(BlockDeviceRow.instance_id == instance.id)
    volumes = session.exec(mine).all()
    if not covers(row.scope, volumes) or _is_held_otherwise(session, instance.id, row):
        return None
    return _value(row).model_copy(update={"scope": only(row.scope, volumes)})


def _is_held_otherwise(session: Session, instance_id: str, evidence: EvidenceRow) -> bool:
    """By an attachment to that host that is attached, or is being taken away and not read back yet."""
    mine = session.exec(select(AttachmentRow).where(AttachmentRow.instance_id == instance_id)).all()
    there = [row for row in mine if row.connector is not None and row.connector.host == evidence.host]
    gone = {attachment for _, attachment in disks_in(evidence.scope)}
    return any(row.status is AttachmentStatus.ATTACHED or row.id not in gone for row in there)


def void(
    session: Session, host: str, incarnation: str | None, why: str, *, said_before: datetime | None = None
) -> bool:
    """Whether there was anything to void. Proofs that are already written stand."""
    forget_reading(session, host)
    note_alive(session.get(HostRow, host), incarnation)
    where = (EvidenceRow.host == host, EvidenceRow.incarnation == _key(incarnation))
    current = (*where, col(EvidenceRow.voided_at).is_(None), col(EvidenceRow.kind).in_(VOIDABLE))
    rows = session.exec(select(EvidenceRow).where(*current)).all()
    # Of a time that is yet to come is what was said before the clock was set back.
    to_come = utc_now() + policy_of(session.info).reading_age
    refuted = [row for row in rows if said_before is None or row.at <= said_before or row.at > to_come]
    for row in refuted:
        row.voided_at, row.voided_why = utc_now(), why
    return bool(refuted)


def record_reading(session: Session, host_name: str, reading: PowerReading, since: datetime) -> None:
    """On voids what was said of the host before it was read; what somebody measured meanwhile stands. So does what was
    said of a board that was replaced: who is on is the new one."""
    host = lock_host(session, host_name)
    if is_replaced(host, host.incarnation):
        forget_reading(session, host_name)
    elif reading is PowerReading.ON:
        void(session, host_name, host.incarnation, READS_ON, said_before=since)
    else:
        note_reading(session, host_name, reading, utc_now())


def name_incarnation(session: Session, host: str, incarnation: str) -> None:
    """What was said about a host that had never registered was said about this boot of it."""
    unnamed = select(EvidenceRow).where(EvidenceRow.host == host, EvidenceRow.incarnation == "")
    for row in session.exec(unnamed).all():
        row.incarnation = incarnation


def _superseded(host: HostRow | None, incarnation: str | None) -> Evidence | None:
    """A boot of another board says nothing about the last one of the board before."""
    if is_replaced(host, incarnation):
        return None
    if host is None or host.incarnation is None or incarnation in (None, host.incarnation):
        return None
    return Evidence(
        kind=EvidenceKind.NEW_INCARNATION,
        host=host.name,
        incarnation=incarnation,
        who=host.name,
        reason=f"the host has booted again since, as {host.incarnation}",
        at=host.registered_at or utc_now(),
    )


def open_fence(session: Session, request: FenceRequest) -> Evidence | None:
    require_sound(session)
    lock_host(session, request.host)
    key = (request.host, _key(request.incarnation))
    if session.get(FenceRow, key) is None:
        session.add(FenceRow(host=key[0], incarnation=key[1], who=request.who))
    return usable_evidence(session, request.host, request.incarnation, request.instance_id)


def record_evidence(session: Session, evidence: Evidence) -> Evidence:
    """But for the power of a host about a board that it has no more: that is not kept."""
    host = lock_host(session, evidence.host)
    if evidence.kind is EvidenceKind.POWER_OFF and is_replaced(host, evidence.incarnation):
        return evidence
    if evidence.kind is not EvidenceKind.STORAGE_REVOKED:
        _mark_down(host, evidence.incarnation)
    where = (
        EvidenceRow.host == evidence.host,
        EvidenceRow.incarnation == _key(evidence.incarnation),
        EvidenceRow.kind == evidence.kind,
        col(EvidenceRow.voided_at).is_(None),
    )
    known = session.exec(select(EvidenceRow).where(*where)).first()
    if known is not None:
        known.scope = _widened(known, evidence)
        return _value(known)
    if evidence.kind is EvidenceKind.POWER_OFF and policy_of(session.info).is_recent(evidence.at, utc_now()):
        note_own(evidence.host, evidence.at)
    said = evidence.model_dump(exclude={"incarnation", "also"})
    session.add(EvidenceRow(**said, incarnation=_key(evidence.incarnation)))
    return evidence


def _widened(known: EvidenceRow, more: Evidence) -> str:
    """Disks that were taken away add up; anything else is about the whole host."""
    if known.kind is not EvidenceKind.STORAGE_REVOKED:
        return known.scope
    return disks_scope(disks_in(known.scope) | disks_in(more.scope))


def void_evidence(session: Session, host: str, incarnation: str, why: str) -> None:
    lock_host(session, host)
    void(session, host, incarnation, why)


def _mark_down(host: HostRow, incarnation: str | None) -> None:
    if host.incarnation == incarnation:
        host.state = HostState.DOWN


def _key(incarnation: str | None) -> str:
    return incarnation or ""


def _value(row: EvidenceRow) -> Evidence:
    return Evidence(
        kind=row.kind,
        host=row.host,
        incarnation=row.incarnation or None,
        who=row.who,
        reason=row.reason,
        at=row.at,
        scope=row.scope,
        cut=row.cut,
    )
