"""Block device mappings and attachments. A volume is never `available` between its old host and its new one."""

from temporalio import activity

from evacuation import messages as m
from evacuation.errors import AttachmentLostError, ObjectGoneError
from evacuation.ports import Attachment, EvacuationStore, Volumes


def attachment_name(ref: m.AttemptRef, volume_id: str, purpose: str) -> str:
    """The same for every execution of the same attempt: what makes a repeated reserve find its own."""
    return f"{ref.evacuation_id}/{ref.attempt}/{purpose}/{volume_id}"


class BlockDeviceActivities:
    def __init__(self, store: EvacuationStore, volumes: Volumes) -> None:
        self._store = store
        self._volumes = volumes
        self.all = [
            self.fetch_block_devices,
            self.detach_volumes,
            self.set_up_block_devices,
            self.tear_down_block_devices,
        ]

    @activity.defn(no_thread_cancel_exception=True)
    def fetch_block_devices(self, ref: m.AttemptRef) -> m.BlockDevices:
        """The mappings as the store has them, and the guest's definition that they belong to."""
        return m.BlockDevices(
            devices=self._store.block_devices(ref), stored=self._store.stored_definition(ref.instance_id)
        )

    @activity.defn(no_thread_cancel_exception=True)
    def detach_volumes(self, message: m.DetachVolumes) -> m.BlockDevices:
        """Per volume: the source's connector saved once, a new attachment reserved, the old one deleted, the
        mapping saved. An old attachment that is gone already is fine; so is a volume that was unmapped since the
        mappings were fetched: nothing is reserved for it."""
        mapped = {device.volume_id for device in self._store.block_devices(message.ref)}
        for device in message.devices:
            if device.volume_id in mapped:
                self._detach(message.ref, device)
        return m.BlockDevices(devices=self._store.block_devices(message.ref))

    def _detach(self, ref: m.AttemptRef, device: m.BlockDevice) -> None:
        old = self._volumes.attachment(device.attachment_id) if device.attachment_id else None
        if old is not None and old.connector is not None:
            self._store.save_source_connector(ref, device.volume_id, old.connector)
        self._replace(ref, device, "destination", undo=False)

    def _replace(self, ref: m.AttemptRef, device: m.BlockDevice, purpose: str, *, undo: bool) -> str:
        name = attachment_name(ref, device.volume_id, purpose)
        new = self._volumes.reserve(ref, device.volume_id, name, undo=undo)
        if device.attachment_id and device.attachment_id != new:
            self._volumes.delete(ref, device.attachment_id, undo=undo)
        try:
            self._store.save_attachment(ref, device.volume_id, new, undo=undo)
        except AttachmentLostError:
            # The volume was unmapped since, and nothing else knows of what was reserved for it.
            self._volumes.delete(ref, new, undo=undo)
            raise
        return new

    @activity.defn(no_thread_cancel_exception=True)
    def set_up_block_devices(self, message: m.SetUpBlockDevices) -> m.BlockDevices:
        """task_state rebuild_block_device_mapping; attachments completed with the destination's connector."""
        self._store.enter_block_device_mapping(message.ref)
        devices = self._store.block_devices(message.ref)
        return m.BlockDevices(devices=tuple(self._complete(message, device) for device in devices))

    def _complete(self, message: m.SetUpBlockDevices, device: m.BlockDevice) -> m.BlockDevice:
        if device.attachment_id is None:
            raise AttachmentLostError(f"volume {device.volume_id} has no attachment: it was removed meanwhile")
        self._volumes.complete(message.ref, device.attachment_id, message.connector)
        attachment = self._volumes.attachment(device.attachment_id)
        return device.model_copy(update={"target": attachment.target if attachment else None})

    @activity.defn(no_thread_cancel_exception=True)
    def tear_down_block_devices(self, message: m.Undo) -> m.Done:
        """Whatever the evacuation attached to a destination is reserved again, for the instance and no host; what
        it reserved and did not use goes. A mapping that still points at the source's own attachment stays."""
        # Before anything is read: a late call of the attempt could change what was read, and not be undone.
        if not self._store.begin_undoing(message.ref):
            return m.Done()
        devices = self._store.block_devices(message.ref)
        for device in devices:
            self._undo(message.ref, device)
        self._sweep(message.ref, {device.volume_id for device in devices})
        return m.Done()

    def _sweep(self, ref: m.AttemptRef, mapped: set[str]) -> None:
        """What this evacuation attached of a volume that was unmapped since: no mapping leads to it any more."""
        for made in self._volumes.made_by(ref):
            if made.volume_id not in mapped:
                self._volumes.delete(ref, made.id, undo=True)

    def _undo(self, ref: m.AttemptRef, device: m.BlockDevice) -> None:
        held = {a.id: a for a in self._volumes.attachments(device.volume_id, ref.instance_id)}
        kept = device.attachment_id
        if kept is None or kept not in held or _is_of_destination(device, held[kept]):
            kept = self._reserve_again(ref, device)
        elif device.source_connector is not None and held[kept].connector is not None:
            # It was saved, and the volume was not taken away.
            self._store.forget_source_connector(ref, device.volume_id)
        for other in held:
            if other != kept:
                self._volumes.delete(ref, other, undo=True)

    def _reserve_again(self, ref: m.AttemptRef, device: m.BlockDevice) -> str | None:
        """None: there is no such volume any more, so that nothing of it can be kept."""
        try:
            return self._replace(ref, device, "undo", undo=True)
        except ObjectGoneError:
            return None


def _is_of_destination(device: m.BlockDevice, attachment: Attachment) -> bool:
    """Connected to another host than the source. Nothing saved: the source's was never taken away."""
    return device.source_connector is not None and attachment.connector not in (None, device.source_connector)
