"""Block device mappings, as the store has them."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import AttachmentLostError
from services.sql.guard import lock_forward, lock_undo
from services.sql.tables import BlockDeviceRow


def mappings_of(session: Session, instance_id: str) -> Sequence[BlockDeviceRow]:
    mine = select(BlockDeviceRow).where(BlockDeviceRow.instance_id == instance_id)
    return session.exec(mine.order_by(col(BlockDeviceRow.position))).all()


def block_devices(session: Session, ref: m.AttemptRef) -> tuple[m.BlockDevice, ...]:
    return tuple(
        m.BlockDevice(
            volume_id=row.volume_id,
            device=row.device,
            attachment_id=row.attachment_id,
            source_connector=row.source_connector,
        )
        for row in mappings_of(session, ref.instance_id)
    )


def save_source_connector(session: Session, ref: m.AttemptRef, volume_id: str, connector: m.Connector) -> None:
    lock_forward(session, ref)
    mapping = _mapping(session, ref, volume_id)
    mapping.source_connector = mapping.source_connector or connector


def save_attachment(session: Session, ref: m.AttemptRef, volume_id: str, attachment_id: str, *, undo: bool) -> None:
    if undo:
        lock_undo(session, ref)
    else:
        lock_forward(session, ref)
    _mapping(session, ref, volume_id).attachment_id = attachment_id


def _mapping(session: Session, ref: m.AttemptRef, volume_id: str) -> BlockDeviceRow:
    mapping = session.get(BlockDeviceRow, (ref.instance_id, volume_id))
    if mapping is None:
        raise AttachmentLostError(f"volume {volume_id} is not mapped to the instance any more")
    return mapping
