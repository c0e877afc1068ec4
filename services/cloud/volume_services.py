"""Volume services: who gives hosts their block devices."""

from dataclasses import dataclass
from typing import assert_never

from evacuation.ports import HostStore, StorageFence, Volumes
from services.runtime.settings import Settings
from services.sql import SqlServices


@dataclass(frozen=True, kw_only=True)
class VolumeServices:
    """`hosts`: guests that start again need their volumes too. `storage`: whether disks can be taken away."""

    volumes: Volumes
    hosts: HostStore
    storage: StorageFence | None = None


def volume_services(settings: Settings, sql: SqlServices) -> VolumeServices:
    """As the setting says. Raises MalformedRequestError."""
    match settings.volumes:
        case "sql":
            return VolumeServices(volumes=sql.volumes, hosts=sql.hosts)
        case "nbd":
            from services.cloud.nbd import NbdHosts, NbdStorageFence, NbdVolumes, exports_of

            exports = exports_of(settings, sql)
            # A process guest writes to a file of its own, whatever the fleet calls its root disk.
            proves = settings.hypervisor != "process"
            return VolumeServices(
                volumes=NbdVolumes(sql.volumes, sql.exports, exports, proves=proves),
                hosts=NbdHosts(sql.database, exports),
                storage=NbdStorageFence(sql.exports, exports) if proves else None,
            )
        case _:
            assert_never(settings.volumes)
