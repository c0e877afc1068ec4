"""Guests whose disks were taken away while they may run: such a guest never reads or writes them again, whatever is
attached for its instance since. Only another one, with the new attachments, does."""

from sqlmodel import Session, col, select

from evacuation.fencing import disks_in
from evacuation.model import AttachmentStatus, EvidenceKind
from services.sql.tables import AttachmentRow, BlockDeviceRow, EvidenceRow, ResidenceRow

Disk = tuple[str, str]
"""A volume and an attachment."""


def taken_from(session: Session, host: str) -> frozenset[Disk]:
    """What was taken away from that host for good, in whichever boot."""
    where = (EvidenceRow.host == host, EvidenceRow.kind == EvidenceKind.STORAGE_REVOKED)
    scopes = session.exec(select(EvidenceRow.scope).where(*where)).all()
    return frozenset(disk for scope in scopes for disk in disks_in(scope))


def bereft_on(session: Session, host: str, incarnation: str | None) -> dict[str, int]:
    """Instances, and the epochs of their guests, that may run there in that boot and have lost a disk. A volume that is
    taken away counts from the store's word on, before the service has said that it is closed: whoever was to say so may
    have died. One that was only reserved again, by a service that takes nothing from anybody, was not lost."""
    found = select(ResidenceRow, BlockDeviceRow.volume_id, AttachmentRow).where(
        ResidenceRow.host == host, ResidenceRow.incarnation == incarnation, col(ResidenceRow.proof).is_(None)
    )
    found = found.join(BlockDeviceRow, col(BlockDeviceRow.instance_id) == col(ResidenceRow.instance_id))
    found = found.join(AttachmentRow, col(AttachmentRow.id) == col(BlockDeviceRow.attachment_id), isouter=True)
    rows, taken = session.exec(found).all(), taken_from(session, host)
    return {
        residence.instance_id: residence.epoch
        for residence, volume, attachment in rows
        if _is_lost(volume, attachment, host, taken)
    }


def _is_lost(volume: str, attachment: AttachmentRow | None, host: str, taken: frozenset[Disk]) -> bool:
    if attachment is None or attachment.connector is None or attachment.connector.host != host:
        return any(each == volume for each, _ in taken)
    return attachment.status is not AttachmentStatus.ATTACHED or (volume, attachment.id) in taken
