"""The port `FencingDriver`."""

from collections.abc import Callable

from evacuation.errors import CutOverError
from services.fencing import FenceOptions
from tests.integration.drivers.toy import rack


class ToyFence:
    kind = "toy"

    def __init__(self, options: FenceOptions) -> None:
        pass

    def kind_of(self, host: str) -> str:
        return self.kind

    def is_able(self, host: str) -> bool:
        return True

    def is_off(self, host: str) -> bool:
        return host not in rack.BOOTS

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        return self.is_off(host)

    def doubt_about(self, host: str) -> str | None:
        return None

    def boot_of(self, host: str) -> str | None:
        return rack.BOOTS.get(host)

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        if boot is not None and rack.BOOTS.get(host, boot) != boot:
            raise CutOverError(f"{host} has booted again since")
        last_look()
        rack.cut(host)
