"""Fencing of hosts that are processes of this machine: the durable power-off mark, then SIGKILL, then a look."""

from collections.abc import Callable
from pathlib import Path

from evacuation.errors import FenceFailedError, HostNotFoundError, HypervisorUnavailableError
from services.hypervisors.process import ProcessHost

UNREADABLE = (HostNotFoundError, HypervisorUnavailableError)


class ProcessFencing:
    """Implements the port `FencingDriver`."""

    kind = "process"

    def __init__(self, root: Path) -> None:
        self._root = root

    def kind_of(self, host: str) -> str:
        return self.kind

    def is_able(self, host: str) -> bool:
        try:
            return self._host(host).exists()
        except HostNotFoundError:
            return False

    def is_off(self, host: str) -> bool:
        """The mark is set and no process of the host is left."""
        try:
            return self._host(host).is_off()
        except UNREADABLE as error:
            raise FenceFailedError(
                f"the power state of {host} cannot be read: {error.message}", remedy=error.remedy
            ) from error

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        """The mark is lasting, and nothing is off without it."""
        return self.is_off(host)

    def doubt_about(self, host: str) -> str | None:
        return None

    def boot_of(self, host: str) -> str | None:
        try:
            return self._host(host).incarnation()
        except UNREADABLE as error:
            raise FenceFailedError(
                f"the boot of {host} cannot be read: {error.message}", remedy=error.remedy
            ) from error

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        try:
            self._host(host).power_off(beat, boot=boot, last_look=last_look)
        except UNREADABLE as error:
            raise FenceFailedError(f"{host} cannot be switched off: {error.message}", remedy=error.remedy) from error

    def _host(self, host: str) -> ProcessHost:
        return ProcessHost(self._root, host)
