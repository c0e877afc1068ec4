"""Which volume is to be open for whom, and the taking away of disks: the store's side of a volume service of our own.

A volume is open under the name of an attachment exactly while that attachment is attached and was never revoked. An
attachment that is reserved and still has its connector was taken from its host, and is not deleted yet."""

from sqlmodel import Session, col, select

from evacuation.errors import AttachmentLostError, StorageNotRevokedError
from evacuation.fencing import disks_scope
from evacuation.messages import AttemptRef, FenceRequest
from evacuation.model import AttachmentStatus, Evidence, EvidenceKind, Frozen, HostState, RootDisk
from evacuation.ports import Attachment
from services.cloud.sql.volumes import value_of
from services.sql.database import Database
from services.sql.instances.holdings import refresh_status
from services.sql.ledger.evidence import record_evidence, revoked_attachments
from services.sql.ledger.guard import lock_forward, lock_tear_down
from services.sql.rows import lock_host, lock_instance
from services.sql.tables import AttachmentRow, BlockDeviceRow, InstanceRow, VolumeRow, utc_now

WHO = "nbd"
Disk = tuple[str, str]
"""A volume and an attachment."""


class WantedExport(Frozen):
    """A volume that must be open under the name of that attachment."""

    volume_id: str
    attachment_id: str


class SqlExports:
    """The state store's side of the NBD volumes; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def wanted(self, volumes: frozenset[str] | None = None) -> tuple[WantedExport, ...]:
        """Of these volumes, or of all."""
        return self._database.read(_wanted, volumes)

    def sizes(self) -> dict[str, int]:
        """Every volume of the fleet, in GiB."""
        return self._database.read(_sizes)

    def can_revoke(self, instance_id: str) -> bool:
        """Whether every disk that the guest could write is a volume."""
        return self._database.read(_can_revoke, instance_id)

    def take_away(self, request: FenceRequest) -> tuple[Disk, ...]:
        """None of the guest's disks may be open for that host any more. The host is down: nobody sends it
        guests while its worker is silent. Raises StorageNotRevokedError when it has none."""
        return self._database.write(_take_away, request)

    def record_revoked(self, request: FenceRequest, disks: tuple[Disk, ...]) -> Evidence:
        """They are closed, read back. Raises StorageNotRevokedError when one was attached again meanwhile."""
        return self._database.write(_record_revoked, request, disks)

    def release(self, ref: AttemptRef, attachment_id: str, *, undo: bool) -> Attachment | None:
        """Guarded. The attachment must not be open any more; None: it is gone already."""
        return self._database.write(_release, ref, attachment_id, undo=undo)

    def record_detached(self, attachment: Attachment) -> None:
        """It is closed, read back: as evidence about the boot of the host that it was taken from."""
        self._database.write(_record_detached, attachment)


def _wanted(session: Session, volumes: frozenset[str] | None) -> tuple[WantedExport, ...]:
    attached = select(AttachmentRow).where(AttachmentRow.status == AttachmentStatus.ATTACHED)
    if volumes is not None:
        attached = attached.where(col(AttachmentRow.volume_id).in_(volumes))
    rows = [row for row in session.exec(attached).all() if row.connector is not None]
    hosts = {row.connector.host for row in rows if row.connector}
    revoked = frozenset(attachment for host in hosts for attachment in revoked_attachments(session, host))
    return tuple(WantedExport(volume_id=row.volume_id, attachment_id=row.id) for row in rows if row.id not in revoked)


def _sizes(session: Session) -> dict[str, int]:
    return {row.id: row.size_gb for row in session.exec(select(VolumeRow)).all()}


def _can_revoke(session: Session, instance_id: str) -> bool:
    instance = session.get(InstanceRow, instance_id)
    mapped = select(BlockDeviceRow).where(BlockDeviceRow.instance_id == instance_id)
    return instance is not None and instance.root_disk is RootDisk.VOLUME and session.exec(mapped).first() is not None


def _take_away(session: Session, request: FenceRequest) -> tuple[Disk, ...]:
    lock_instance(session, request.instance_id)
    rows = _held_by(session, request)
    if not rows:
        raise StorageNotRevokedError(f"{request.host} has no disk of this instance to take away")
    host = lock_host(session, request.host)
    if host.incarnation != request.incarnation:
        raise StorageNotRevokedError(f"{request.host} has booted again since")
    host.state = HostState.DOWN
    for row in rows:
        row.status = AttachmentStatus.RESERVED
        refresh_status(session, row.volume_id)
    return tuple((row.volume_id, row.id) for row in rows)


def _record_revoked(session: Session, request: FenceRequest, disks: tuple[Disk, ...]) -> Evidence:
    lock_instance(session, request.instance_id)
    again = [row for row in _held_by(session, request) if row.status is AttachmentStatus.ATTACHED]
    if again:
        raise StorageNotRevokedError(f"volume {again[0].volume_id} was attached to {request.host} again meanwhile")
    return _record(session, request.host, request.incarnation, disks)


def _held_by(session: Session, request: FenceRequest) -> list[AttachmentRow]:
    mine = select(AttachmentRow).where(AttachmentRow.instance_id == request.instance_id)
    rows = session.exec(mine.order_by(col(AttachmentRow.position))).all()
    return [row for row in rows if row.connector is not None and row.connector.host == request.host]


def _release(session: Session, ref: AttemptRef, attachment_id: str, *, undo: bool) -> Attachment | None:
    if undo:
        lock_tear_down(session, ref)
    else:
        lock_forward(session, ref)
    row = session.get(AttachmentRow, attachment_id)
    if row is not None and row.instance_id != ref.instance_id:
        raise AttachmentLostError(f"attachment {attachment_id} is another instance's")
    if row is not None and row.status is AttachmentStatus.ATTACHED:
        row.status = AttachmentStatus.RESERVED
        refresh_status(session, row.volume_id)
    return value_of(row) if row else None


def _record_detached(session: Session, attachment: Attachment) -> None:
    connector = attachment.connector
    if connector is not None:
        _record(session, connector.host, connector.incarnation or None, ((attachment.volume_id, attachment.id),))


def _record(session: Session, host: str, incarnation: str | None, disks: tuple[Disk, ...]) -> Evidence:
    evidence = Evidence(
        kind=EvidenceKind.STORAGE_REVOKED,
        host=host,
        incarnation=incarnation,
        who=WHO,
        reason="its disks were taken away, read back: not exported any more",
        at=utc_now(),
        scope=disks_scope(disks),
    )
    return record_evidence(session, evidence)
