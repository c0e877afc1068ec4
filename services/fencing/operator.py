"""No power switch at all: only an operator's recorded word can prove a host off."""

from collections.abc import Callable

from evacuation.errors import FenceFailedError

REMEDY = (
    "make sure that the host is off, then say so with --source-confirmed-off TEXT or `host down --confirmed-off TEXT`"
)


class OperatorFencing:
    """Implements the port `FencingDriver` for hosts whose power nothing here can reach."""

    kind = "operator"

    def kind_of(self, host: str) -> str:
        return self.kind

    def is_able(self, host: str) -> bool:
        return False

    def is_off(self, host: str) -> bool:
        raise FenceFailedError(f"nothing here can read the power state of {host}", remedy=REMEDY)

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        return self.is_off(host)

    def doubt_about(self, host: str) -> str | None:
        return None

    def boot_of(self, host: str) -> str | None:
        return None

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        raise FenceFailedError(f"nothing here can switch {host} off", remedy=REMEDY)
