"""Block device mappings, as the store has them."""

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import AttachmentLostError
from services.sql.ledger.guard import lock_forward, lock_tear_down
from services.sql.statements import change, write
from services.sql.tables import BlockDeviceRow

_MAPPINGS = (
    select(BlockDeviceRow)
    .where(col(BlockDeviceRow.instance_id) == bindparam("instance_id"))
    .order_by(col(BlockDeviceRow.position))
)


def mappings_of(session: Session, instance_id: str) -> Sequence[BlockDeviceRow]:
    return session.exec(_MAPPINGS, params={"instance_id": instance_id}).all()


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
    mapping = session.get(BlockDeviceRow, (ref.instance_id, volume_id))
    if mapping is None:
        raise _lost(volume_id)
    change(session, mapping, source_connector=mapping.source_connector or connector)


def forget_source_connector(session: Session, ref: m.AttemptRef, volume_id: str) -> None:
    lock_tear_down(session, ref)
    write(session, BlockDeviceRow, {"instance_id": ref.instance_id, "volume_id": volume_id}, source_connector=None)


def save_attachment(session: Session, ref: m.AttemptRef, volume_id: str, attachment_id: str, *, undo: bool) -> None:
    if undo:
        lock_tear_down(session, ref)
    else:
        lock_forward(session, ref)
    key = {"instance_id": ref.instance_id, "volume_id": volume_id}
    if not write(session, BlockDeviceRow, key, attachment_id=attachment_id):
        raise _lost(volume_id)


def _lost(volume_id: str) -> AttachmentLostError:
    return AttachmentLostError(f"volume {volume_id} is not mapped to the instance any more")
