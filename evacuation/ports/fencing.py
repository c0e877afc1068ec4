"""Who turns the power of a host off, or takes its disks away."""

from collections.abc import Callable
from typing import Protocol

from evacuation import messages as m
from evacuation.model import Evidence


class FencingDriver(Protocol):
    """Reads and cuts the power of hosts. A driver that can tell which machine it reads compares that with the host's
    `Identities` each time: of another one nothing is read as off, and no order is sent (BmcIdentityError)."""

    kind: str

    def kind_of(self, host: str) -> str:
        """Which kind of driver switches this host: what evidence names as its author."""
        ...

    def is_able(self, host: str) -> bool:
        """Whether this driver can cut this host's power at all. No I/O to the host."""
        ...

    def is_off(self, host: str) -> bool:
        """Power state read now. Raises FenceFailedError when it cannot be read."""
        ...

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        """As `is_off`, read again over some seconds where a first answer may be an old one: what is to be proof."""
        ...

    def doubt_about(self, host: str) -> str | None:
        """Why nothing shows that it is this host whose power is read. None: it was compared now, or cannot be another.
        Raises FenceFailedError."""
        ...

    def boot_of(self, host: str) -> str | None:
        """Which boot is there, or was if it is off. None: this driver cannot tell. Raises FenceFailedError."""
        ...

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        """Off, read back over some seconds. One that is off already gets the order all the same. It is given after
        `last_look` (which raises to call it off), under whatever lock the power has. Another boot than `boot` is not
        cut, where the driver can tell. Raises FenceFailedError, CutOverError (another boot is there)."""
        ...


class StorageFence(Protocol):
    """Takes the disks of one guest away from one host, for good, while the host may still run."""

    def is_able(self, instance_id: str) -> bool:
        """Whether every disk that the guest could write is in its hands. No I/O to the disks."""
        ...

    def revoke(self, request: m.FenceRequest, beat: Callable[[], None]) -> Evidence:
        """No write by that incarnation of the host reaches any of the guest's disks any more, read back, and none
        will ever again by what it was connected with. Recorded. Raises StorageNotRevokedError."""
        ...
