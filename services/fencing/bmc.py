"""Fencing by the hosts' BMCs: each host as its entry in the BMC file says, by Redfish or by IPMI."""

import time
from collections.abc import Callable
from typing import Protocol, assert_never

from evacuation.errors import BmcCredentialsError, BmcFileError, BmcUnreachableError, FenceFailedError
from services.fencing.bmc_file import Access, BmcDriver, BmcFile

POLL = 0.5
PATIENCE = 40.0
"""Seconds in which a host that was told to power off must read off. BMCs need a few, and say so meanwhile."""


class Power(Protocol):
    """One host's power. Each call has its own timeout, and raises only FenceFailedError."""

    def is_off(self) -> bool: ...

    def cut(self) -> None:
        """Off by force, without waiting for it."""
        ...


class BmcFencing:
    """Implements the port `FencingDriver`."""

    def __init__(self, file: BmcFile, *, kind: BmcDriver, timeout: float) -> None:
        self.kind = kind
        self._file = file
        self._timeout = timeout

    def kind_of(self, host: str) -> str:
        return self._file.of(host).driver if self._file.has(host) else self.kind

    def is_able(self, host: str) -> bool:
        return self._file.has(host)

    def is_off(self, host: str) -> bool:
        return self._power(host).is_off()

    def power_off(self, host: str, beat: Callable[[], None]) -> None:
        power = self._power(host)
        off = power.is_off()
        beat()
        if off:
            return
        try:
            power.cut()
        except BmcUnreachableError:
            # Some answer with an error when the power went between the look and the order: the state decides.
            if not power.is_off():
                raise
        beat()
        self._wait_until_off(host, power, beat)

    def _wait_until_off(self, host: str, power: Power, beat: Callable[[], None]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not power.is_off():
            beat()
            if time.monotonic() >= give_up:
                raise FenceFailedError(
                    f"{host} was told to power off and still reads on after {PATIENCE:g} s",
                    remedy=f"look at {host} itself, or pull its plug and say: "
                    f'evacuate host down {host} --confirmed-off "who saw it, how"',
                )
            time.sleep(POLL)
        beat()

    def _power(self, host: str) -> Power:
        try:
            access = self._file.of(host)
        except BmcFileError as error:
            raise BmcCredentialsError(error.message, remedy=error.remedy) from None
        return power_of(access, self._timeout)


def power_of(access: Access, timeout: float) -> Power:
    match access.driver:
        case "redfish":
            from services.fencing.redfish import Redfish

            return Redfish(access, timeout)
        case "ipmi":
            from services.fencing.ipmi import Ipmi

            return Ipmi(access, timeout)
        case _:
            assert_never(access.driver)
