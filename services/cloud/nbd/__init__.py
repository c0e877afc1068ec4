"""A volume service of our own: raw images, exported over NBD by one qemu-storage-daemon."""

from services.cloud.nbd.exports import Exports
from services.cloud.nbd.layout import Layout
from services.cloud.nbd.service import StorageService
from services.cloud.nbd.volumes import NbdHosts, NbdStorageFence, NbdVolumes
from services.runtime.settings import Settings
from services.sql import SqlServices

__all__ = ["Exports", "Layout", "NbdHosts", "NbdStorageFence", "NbdVolumes", "StorageService", "exports_of"]


def exports_of(settings: Settings, sql: SqlServices) -> Exports:
    """Raises MalformedRequestError."""
    directory = (settings.nbd_dir or settings.state_dir / "nbd").expanduser().resolve()
    return Exports(Layout.of(directory, settings.nbd_address), sql.exports, create=settings.nbd_create)
