"""What is chosen with `EVACUATE_VOLUMES=sql`: volumes that are records, whose hosts know where the disks are."""

from typing import TYPE_CHECKING

from services.cloud.chosen import VolumeDriver, VolumeServices
from services.runtime.settings import Settings

if TYPE_CHECKING:
    from services.sql import SqlServices


class SqlVolumeDriver(VolumeDriver):
    """Nothing is opened or closed on any host: storage is no evidence."""

    def open(self, settings: Settings, sql: "SqlServices", *, opens_exports: bool) -> VolumeServices:
        return VolumeServices(volumes=sql.volumes, hosts=sql.hosts)
