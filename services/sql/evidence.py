"""What is known about which incarnation of which host is off."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation.errors import FenceDeclinedError
from evacuation.fencing import covers, disks_in, disks_scope, only, policy_of
from evacuation.messages import FenceRequest
from evacuation.model import AttachmentStatus, Evidence, EvidenceKind, HostState, RootDisk
from services.sql.database import Database
from services.sql.rows import lock_host, unproven_on
from services.sql.tables import AttachmentRow, BlockDeviceRow, EvidenceRow, FenceRow, HostRow, InstanceRow, utc_now

VOIDABLE = (EvidenceKind.POWER_OFF, EvidenceKind.OPERATOR)
_CURRENT = (
    select(EvidenceRow)
    .where(
        col(EvidenceRow.host) == bindparam("host"),
        col(EvidenceRow.incarnation) == bindparam("incarnation"),
        col(EvidenceRow.voided_at).is_(None),
    )
    .order_by(col(EvidenceRow.id))
)


class SqlEvidence:
    """The port `EvidenceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_fence(self, request: FenceRequest) -> Evidence | None:
        return self._database.write(_open_fence, request)

    def current_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        return self._database.read(current_evidence, host, incarnation, instance_id)

    def record_evidence(self, evidence: Evidence) -> Evidence:
        return self._database.write(record_evidence, evidence)

    def void_evidence(self, host: str, incarnation: str, why: str) -> None:
        self._database.write(_void_evidence, host, incarnation, why)


def current_evidence(
    session: Session, host: str, incarnation: str | None, instance_id: str | None = None
) -> Evidence | None:
    """Recorded about that incarnation, not voided, and enough for the policy; else, that the host has registered
    another one since. Storage evidence counts for the instance that is named, as far as its disks go."""
    rows = _current(session, host, incarnation)
    values = [_value(row) for row in rows if row.kind is not EvidenceKind.STORAGE_REVOKED]
    values += [
        value for row in rows if row.kind is EvidenceKind.STORAGE_REVOKED and (value := _of(session, row, instance_id))
    ]
    return policy_of(session.info).proof(values) or _superseded(session.get(HostRow, host), incarnation)


def revoked_attachments(session: Session, host: str) -> frozenset[str]:
    """Attachments to that host, in whichever boot, whose disks were taken away for good."""
    where = (EvidenceRow.host == host, EvidenceRow.kind == EvidenceKind.STORAGE_REVOKED)
    scopes = session.exec(select(EvidenceRow.scope).where(*where)).all()
    return frozenset(attachment for scope in scopes for _, attachment in disks_in(scope))


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


def was_voided(session: Session, host: str, incarnation: str | None) -> bool:
    where = (EvidenceRow.host == host, EvidenceRow.incarnation == _key(incarnation))
    return session.exec(select(EvidenceRow).where(*where, col(EvidenceRow.voided_at).is_not(None))).first() is not None


def void(session: Session, host: str, incarnation: str | None, why: str) -> bool:
    """Whether there was anything to void. Proofs that are already written stand."""
    where = (EvidenceRow.host == host, EvidenceRow.incarnation == _key(incarnation))
    current = (*where, col(EvidenceRow.voided_at).is_(None), col(EvidenceRow.kind).in_(VOIDABLE))
    rows = session.exec(select(EvidenceRow).where(*current)).all()
    for row in rows:
        row.voided_at, row.voided_why = utc_now(), why
    return bool(rows)


def name_incarnation(session: Session, host: str, incarnation: str) -> None:
    """What was said about a host that had never registered was said about this boot of it."""
    unnamed = select(EvidenceRow).where(EvidenceRow.host == host, EvidenceRow.incarnation == "")
    for row in session.exec(unnamed).all():
        row.incarnation = incarnation


def _superseded(host: HostRow | None, incarnation: str | None) -> Evidence | None:
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


def _open_fence(session: Session, request: FenceRequest) -> Evidence | None:
    host = lock_host(session, request.host)
    current = current_evidence(session, request.host, request.incarnation, request.instance_id)
    if current is None and request.spare_others:
        _take_down_if_alone(session, host, request)
    key = (request.host, _key(request.incarnation))
    if session.get(FenceRow, key) is None:
        session.add(FenceRow(host=key[0], incarnation=key[1], who=request.who))
    return current


def _take_down_if_alone(session: Session, host: HostRow, request: FenceRequest) -> None:
    """Down in the same transaction: nothing can be authorised there between the look and the switching off."""
    others = [
        residence.instance_id
        for residence in unproven_on(session, host.name)
        if residence.instance_id != request.instance_id and residence.incarnation == request.incarnation
    ]
    if others:
        where = col(InstanceRow.id).in_(others)
        names = session.exec(select(InstanceRow.name).where(where).order_by(col(InstanceRow.position))).all()
        raise FenceDeclinedError(
            f"{host.name} is not switched off: {', '.join(names)} may run there",
            remedy=f'confirm it off: evacuate host down {host.name} --confirmed-off "who and how"',
        )
    _mark_down(host, request.incarnation)


def record_evidence(session: Session, evidence: Evidence) -> Evidence:
    host = lock_host(session, evidence.host)
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
    said = evidence.model_dump(exclude={"incarnation", "also"})
    session.add(EvidenceRow(**said, incarnation=_key(evidence.incarnation)))
    return evidence


def _widened(known: EvidenceRow, more: Evidence) -> str:
    """Disks that were taken away add up; anything else is about the whole host."""
    if known.kind is not EvidenceKind.STORAGE_REVOKED:
        return known.scope
    return disks_scope(disks_in(known.scope) | disks_in(more.scope))


def _void_evidence(session: Session, host: str, incarnation: str, why: str) -> None:
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
    )
