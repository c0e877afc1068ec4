"""Attachments: one connected at a time, and a volume is never available between two of them."""

from uuid import uuid4

from sqlalchemy import bindparam, delete
from sqlmodel import Session, col, select

from evacuation.errors import AttachmentLostError, DiskLockedError, ObjectGoneError
from evacuation.messages import AttemptRef, Connector
from evacuation.model import AttachmentStatus
from evacuation.ports import Attachment
from services.sql.database import Database
from services.sql.instances.holdings import refresh_status
from services.sql.ledger.guard import lock_forward, lock_tear_down
from services.sql.statements import add, change, execute, table_of
from services.sql.tables import AttachmentRow, BlockDeviceRow, VolumeRow

_OF_VOLUME = col(AttachmentRow.volume_id) == bindparam("volume_id")
_OTHERS = select(AttachmentRow.id).where(_OF_VOLUME, col(AttachmentRow.id) != bindparam("but"))
_CONNECTED = select(AttachmentRow).where(
    _OF_VOLUME, AttachmentRow.status == AttachmentStatus.ATTACHED, col(AttachmentRow.id) != bindparam("but")
)
_OF_INSTANCE = (
    select(AttachmentRow)
    .where(col(AttachmentRow.instance_id) == bindparam("instance_id"))
    .order_by(col(AttachmentRow.volume_id), col(AttachmentRow.position))
)
_NAMED = select(AttachmentRow).where(col(AttachmentRow.name) == bindparam("name"))
_POSITIONS = select(AttachmentRow.position).where(_OF_VOLUME).order_by(col(AttachmentRow.position).desc())
_DELETE = delete(table_of(AttachmentRow)).where(col(AttachmentRow.id) == bindparam("attachment_id"))


class SqlVolumes:
    """The port `Volumes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def attachment(self, attachment_id: str) -> Attachment | None:
        return self._database.read(_attachment, attachment_id)

    def attachments(self, volume_id: str, instance_id: str) -> tuple[Attachment, ...]:
        return self._database.read(_attachments, volume_id, instance_id)

    def made_by(self, ref: AttemptRef) -> tuple[Attachment, ...]:
        return self._database.read(_made_by, ref)

    def reserve(self, ref: AttemptRef, volume_id: str, name: str, *, undo: bool) -> str:
        try:
            return self._database.write(_reserve, ref, volume_id, name, undo=undo)
        except ObjectGoneError as error:
            raise ObjectGoneError(f"volume {volume_id} is gone", remedy=error.remedy) from error

    def delete(self, ref: AttemptRef, attachment_id: str, *, undo: bool) -> None:
        self._database.write(_delete, ref, attachment_id, undo=undo)

    def complete(self, ref: AttemptRef, attachment_id: str, connector: Connector) -> None:
        self._database.write(_complete, ref, attachment_id, connector)


def attach(session: Session, attachment: AttachmentRow, connector: Connector) -> None:
    """Raises DiskLockedError while another attachment of the volume is connected."""
    other = session.exec(_CONNECTED, params={"volume_id": attachment.volume_id, "but": attachment.id}).first()
    if other is not None:
        host = other.connector.host if other.connector else "another host"
        raise DiskLockedError(f"volume {attachment.volume_id} is still attached on {host}")
    change(session, attachment, status=AttachmentStatus.ATTACHED, connector=connector)
    refresh_status(session, attachment.volume_id)


def hold_on_destination(session: Session, mapping: BlockDeviceRow, name: str, connector: Connector) -> None:
    """The mapping's volume is attached where the guest runs. One whose attachment somebody removed gets another; one
    that somebody else has connected meanwhile, or that is gone, is not the instance's any more, and neither is the
    mapping."""
    change(session, mapping, source_connector=None)
    attachment = session.get(AttachmentRow, mapping.attachment_id) if mapping.attachment_id else None
    if attachment is not None and attachment.connector is not None and attachment.connector.host == connector.host:
        return
    if attachment is None and session.get(VolumeRow, mapping.volume_id) is None:
        session.delete(mapping)
        return
    attachment = attachment or _named(session, mapping.instance_id, mapping.volume_id, name)
    change(session, mapping, attachment_id=attachment.id)
    try:
        attach(session, attachment, connector)
    except DiskLockedError:
        execute(session, _DELETE, attachment_id=attachment.id)
        session.delete(mapping)


def _named(session: Session, instance_id: str, volume_id: str, name: str) -> AttachmentRow:
    """The attachment of that name, reserved."""
    known = session.exec(_NAMED, params={"name": name}).first()
    if known is not None:
        return known
    new = AttachmentRow(
        id=str(uuid4()),
        name=name,
        volume_id=volume_id,
        instance_id=instance_id,
        position=_next_position(session, volume_id),
    )
    add(session, new)
    refresh_status(session, volume_id)
    return new


def renew(session: Session, old: AttachmentRow) -> AttachmentRow:
    """Another attachment in the place of one that was revoked: what a revoked one was called never opens again."""
    new = AttachmentRow(
        id=str(uuid4()),
        name=f"renewed/{old.id}",
        volume_id=old.volume_id,
        instance_id=old.instance_id,
        position=_next_position(session, old.volume_id),
        connector=old.connector,
    )
    add(session, new)
    execute(session, _DELETE, attachment_id=old.id)
    refresh_status(session, new.volume_id)
    return new


def _attachment(session: Session, attachment_id: str) -> Attachment | None:
    row = session.get(AttachmentRow, attachment_id)
    return value_of(row) if row else None


def _attachments(session: Session, volume_id: str, instance_id: str) -> tuple[Attachment, ...]:
    where = (AttachmentRow.volume_id == volume_id, AttachmentRow.instance_id == instance_id)
    rows = session.exec(select(AttachmentRow).where(*where).order_by(col(AttachmentRow.position))).all()
    return tuple(value_of(row) for row in rows)


def _made_by(session: Session, ref: AttemptRef) -> tuple[Attachment, ...]:
    return tuple(value_of(row) for row in _made(session, ref.instance_id, ref.evacuation_id))


def _made(session: Session, instance_id: str, evacuation_id: str) -> list[AttachmentRow]:
    """Attachments are named by the evacuation that made them."""
    rows = session.exec(_OF_INSTANCE, params={"instance_id": instance_id}).all()
    return [row for row in rows if row.name.startswith(f"{evacuation_id}/")]


def drop_unmapped(session: Session, instance_id: str, evacuation_id: str) -> None:
    """Nothing of the evacuation stays reserved on a volume that is not mapped to the instance any more."""
    for row in _made(session, instance_id, evacuation_id):
        if row.connector is None and session.get(BlockDeviceRow, (instance_id, row.volume_id)) is None:
            execute(session, _DELETE, attachment_id=row.id)
            refresh_status(session, row.volume_id)


def _reserve(session: Session, ref: AttemptRef, volume_id: str, name: str, *, undo: bool) -> str:
    _guard(session, ref, undo=undo)
    return _named(session, ref.instance_id, volume_id, name).id


def _next_position(session: Session, volume_id: str) -> int:
    return (execute(session, _POSITIONS, volume_id=volume_id).scalars().first() or 0) + 1


def _delete(session: Session, ref: AttemptRef, attachment_id: str, *, undo: bool) -> None:
    _guard(session, ref, undo=undo)
    row = session.get(AttachmentRow, attachment_id)
    if row is None:
        return
    other = execute(session, _OTHERS, volume_id=row.volume_id, but=row.id).first()
    mapped = session.get(BlockDeviceRow, (row.instance_id, row.volume_id)) is not None
    last = other is None and mapped and session.get(VolumeRow, row.volume_id) is not None
    if row.instance_id != ref.instance_id or last:
        raise AttachmentLostError(f"attachment {attachment_id} stays: it is all that keeps its volume from being free")
    execute(session, _DELETE, attachment_id=row.id)
    refresh_status(session, row.volume_id)


def _complete(session: Session, ref: AttemptRef, attachment_id: str, connector: Connector) -> None:
    lock_forward(session, ref)
    row = session.get(AttachmentRow, attachment_id)
    if row is None or row.instance_id != ref.instance_id:
        raise AttachmentLostError(f"attachment {attachment_id} is gone")
    if (row.status, row.connector) != (AttachmentStatus.ATTACHED, connector):
        attach(session, row, connector)


def _guard(session: Session, ref: AttemptRef, *, undo: bool) -> None:
    if undo:
        lock_tear_down(session, ref)
    else:
        lock_forward(session, ref)


def value_of(row: AttachmentRow) -> Attachment:
    return Attachment(
        id=row.id, volume_id=row.volume_id, instance_id=row.instance_id, status=row.status, connector=row.connector
    )
