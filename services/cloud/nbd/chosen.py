"""What is chosen with `EVACUATE_VOLUMES=nbd`."""

from services.cloud.chosen import VolumeDriver, VolumeServices
from services.cloud.nbd import NbdHosts, NbdStorageFence, NbdVolumes, exports_of
from services.runtime.settings import Settings
from services.sql import SqlServices


class NbdVolumeDriver(VolumeDriver):
    """Volumes that can be taken away from a host, where its guests write to exports."""

    has_daemon = True

    def open(self, settings: Settings, sql: SqlServices, *, opens_exports: bool) -> VolumeServices:
        exports = exports_of(settings, sql)
        return VolumeServices(
            volumes=NbdVolumes(sql.volumes, sql.exports, exports, proves=opens_exports),
            hosts=NbdHosts(sql.database, exports),
            storage=NbdStorageFence(sql.exports, exports) if opens_exports else None,
        )
