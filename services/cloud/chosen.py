"""What is chosen with a volume service: who gives hosts their block devices."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evacuation.ports import HostStore, StorageFence, Volumes
from services.runtime.settings import Settings

if TYPE_CHECKING:
    from services.sql import SqlServices


@dataclass(frozen=True, kw_only=True)
class VolumeServices:
    """`hosts`: guests that start again need their volumes too. `storage`: whether disks can be taken away."""

    volumes: Volumes
    hosts: HostStore
    storage: StorageFence | None = None


class VolumeDriver(ABC):
    """One for each volume service, in the folder of that service."""

    has_daemon = False
    """`worker.py storage` keeps one running for it."""

    @abstractmethod
    def open(self, settings: Settings, sql: "SqlServices", *, opens_exports: bool) -> VolumeServices:
        """`opens_exports`: whether guests write to what the service opens for them; else what it takes away proves
        nothing. Raises MalformedRequestError."""
