"""The port `Volumes` over qemu-storage-daemon: an export for each connected attachment, named by its id."""

from collections.abc import Callable

from evacuation.errors import StorageNotRevokedError, VolumeServiceError
from evacuation.messages import AttemptRef, AuthorizedStart, AuthorizeInPlace, Connector, FenceRequest, HostGuest
from evacuation.model import AttachmentStatus, Evidence
from evacuation.ports import Attachment
from services.cloud.nbd.exports import Exports
from services.cloud.sql.exports import SqlExports
from services.cloud.sql.volumes import SqlVolumes
from services.sql.database import Database
from services.sql.hosts.store import SqlHosts


class NbdVolumes:
    """The store says who is attached, and by its constraint one at a time; each call then has the exports follow.
    Killed in between, the same call again, or the next one about the volume, makes them follow. `proves`: guests write
    nowhere but to these volumes, so that a volume that was taken away is evidence."""

    def __init__(self, sql: SqlVolumes, store: SqlExports, exports: Exports, *, proves: bool = True) -> None:
        self._sql = sql
        self._store = store
        self._exports = exports
        self._proves = proves

    def attachment(self, attachment_id: str) -> Attachment | None:
        found = self._sql.attachment(attachment_id)
        return self._with_target(found) if found else None

    def attachments(self, volume_id: str, instance_id: str) -> tuple[Attachment, ...]:
        return tuple(self._with_target(each) for each in self._sql.attachments(volume_id, instance_id))

    def made_by(self, ref: AttemptRef) -> tuple[Attachment, ...]:
        return tuple(self._with_target(each) for each in self._sql.made_by(ref))

    def reserve(self, ref: AttemptRef, volume_id: str, name: str, *, undo: bool) -> str:
        if not undo:
            # Before anything is taken from the source: no destination can do without it.
            self._exports.require_image(volume_id)
        reserved = self._sql.reserve(ref, volume_id, name, undo=undo)
        self._exports.apply([volume_id])
        return reserved

    def delete(self, ref: AttemptRef, attachment_id: str, *, undo: bool) -> None:
        """Its export is closed, read back, and so recorded as evidence when it was taken from a source, before the
        attachment goes: once it is gone nobody can tell any more what it was."""
        held = self._store.release(ref, attachment_id, undo=undo)
        if held is not None:
            self._exports.apply([held.volume_id])
            if self._proves and not undo:
                self._store.record_detached(held)
        self._sql.delete(ref, attachment_id, undo=undo)

    def complete(self, ref: AttemptRef, attachment_id: str, connector: Connector) -> None:
        self._sql.complete(ref, attachment_id, connector)
        found = self._sql.attachment(attachment_id)
        if found is not None:
            self._exports.apply([found.volume_id])

    def _with_target(self, attachment: Attachment) -> Attachment:
        if attachment.status != AttachmentStatus.ATTACHED:
            return attachment
        return attachment.model_copy(update={"target": self._exports.layout.target(attachment.id)})


class NbdStorageFence:
    """Implements the port `StorageFence`."""

    def __init__(self, store: SqlExports, exports: Exports) -> None:
        self._store = store
        self._exports = exports

    def is_able(self, instance_id: str) -> bool:
        return self._store.can_revoke(instance_id)

    def revoke(self, request: FenceRequest, beat: Callable[[], None]) -> Evidence:
        disks = self._store.take_away(request)
        beat()
        try:
            self._exports.apply(volume for volume, _ in disks)
        except VolumeServiceError as error:
            raise StorageNotRevokedError(
                f"the disks cannot be taken away from {request.host}: {error.message}", remedy=error.remedy
            ) from error
        beat()
        return self._store.record_revoked(request, disks)


class NbdHosts(SqlHosts):
    """The port `HostStore`: a guest that starts again where it belongs finds its disks exported."""

    def __init__(self, database: Database, exports: Exports) -> None:
        super().__init__(database)
        self._exports = exports

    def authorize_start(self, guest: HostGuest) -> AuthorizedStart:
        return self._exported(super().authorize_start(guest))

    def authorize_in_place(self, message: AuthorizeInPlace) -> AuthorizedStart:
        return self._exported(super().authorize_in_place(message))

    def _exported(self, spec: AuthorizedStart) -> AuthorizedStart:
        if not spec.disks:
            return spec
        self._exports.apply(disk.volume_id for disk in spec.disks)
        target = self._exports.layout.target
        disks = tuple(d.model_copy(update={"target": target(d.attachment_id)}) for d in spec.disks)
        return spec.model_copy(update={"disks": disks})
