"""Fencing by the hosts' BMCs: each host as its entry in the BMC file says, by Redfish or by IPMI."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Protocol, assert_never

from evacuation.errors import (
    BmcCredentialsError,
    BmcFileError,
    BmcSystemError,
    BmcUnreachableError,
    FenceFailedError,
)
from evacuation.ports import Identities
from services.fencing.bmc_file import Access, BmcDriver, BmcFile
from services.fencing.machine import NothingKnown, Wanted, wanted
from services.fencing.options import FenceOptions

POLL = 0.5
PATIENCE = 40.0
"""Seconds in which a host that was told to power off must read off. BMCs need a few, and say so meanwhile."""
READINGS, SETTLED = 4, 3.0
"""How often, and for how many seconds, a host must read off: the first answers of a BMC may be old ones."""
Beat = Callable[[], None]


class Power(Protocol):
    """One host's power, for as long as it is open. Raises only FenceFailedError."""

    def says(self) -> str | None:
        """The UUID of the machine, as its BMC says it now. It is not compared."""
        ...

    def is_off(self) -> bool:
        """Read now, of the wanted machine. Raises BmcIdentityError: it is another."""
        ...

    def cut(self) -> None:
        """Off by force, without waiting for it. Raises BmcIdentityError: it is another, and no order was sent."""
        ...


class BmcFencing:
    """Implements the port `FencingDriver`."""

    def __init__(self, file: BmcFile, *, kind: BmcDriver, timeout: float, identities: Identities | None = None) -> None:
        self.kind = kind
        self._identities = identities or NothingKnown()
        self._file = file
        self._timeout = timeout

    def kind_of(self, host: str) -> str:
        return self._file.of(host).driver if self._file.has(host) else self.kind

    def is_able(self, host: str) -> bool:
        return self._file.has(host)

    def is_off(self, host: str) -> bool:
        with self._open(host, _nobody) as power:
            return power.is_off()

    def stays_off(self, host: str, beat: Beat) -> bool:
        with self._open(host, beat) as power:
            return _stays_off(power, beat)

    def doubt_about(self, host: str) -> str | None:
        access = self._access(host)
        who = self._wanted(access)
        with power_of(access, who, self._timeout, _nobody) as power:
            said = power.says()
        who.require(said)
        return who.doubt(said)

    def boot_of(self, host: str) -> str | None:
        return None

    def power_off(self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Beat) -> None:
        """A host that reads off gets the order all the same: what a BMC says at first may be of yesterday. It is read
        before that only because one that cannot be read is not told either."""
        with self._open(host, beat) as power:
            power.is_off()
            beat()
            last_look()
            _cut(power)
            beat()
            self._wait_until_off(host, power, beat)

    def _wait_until_off(self, host: str, power: Power, beat: Beat) -> None:
        give_up = time.monotonic() + PATIENCE
        while not _stays_off(power, beat):
            if time.monotonic() >= give_up:
                raise FenceFailedError(
                    f"{host} was told to power off and still reads on after {PATIENCE:g} s",
                    remedy=f"look at {host} itself, or pull its plug and say: "
                    f'evacuate host down {host} --confirmed-off "who saw it, how"',
                )
            time.sleep(POLL)

    @contextmanager
    def _open(self, host: str, beat: Beat) -> Generator[Power]:
        access = self._access(host)
        with power_of(access, self._wanted(access), self._timeout, beat) as power:
            yield power

    def _access(self, host: str) -> Access:
        try:
            return self._file.of(host)
        except BmcFileError as error:
            raise BmcCredentialsError(error.message, remedy=error.remedy) from None

    def _wanted(self, access: Access) -> Wanted:
        return wanted(access.host, access.uuid, self._identities)


def _stays_off(power: Power, beat: Beat) -> bool:
    """Read until it says on, or has said off often enough, and for long enough."""
    began, times = time.monotonic(), 0
    while power.is_off():
        beat()
        times += 1
        if times >= READINGS and time.monotonic() - began >= SETTLED:
            return True
        time.sleep(POLL)
    beat()
    return False


def _cut(power: Power) -> None:
    """Some answer with an error when the power went between the look and the order, or was off before: then the state
    decides."""
    try:
        power.cut()
    except (BmcUnreachableError, BmcSystemError):
        if not power.is_off():
            raise


def _nobody() -> None:
    """Nobody waits for a sign of life."""


def power_of(access: Access, who: Wanted, timeout: float, beat: Beat) -> AbstractContextManager[Power]:
    """`timeout`: seconds for one answer."""
    match access.driver:
        case "redfish":
            from services.fencing.redfish import Redfish

            return Redfish(access, who, timeout, beat).opened()
        case "ipmi":
            from services.fencing.ipmi import Ipmi

            return nullcontext(Ipmi(access, who, timeout, beat))
        case _:
            assert_never(access.driver)


def open_bmcs(kind: BmcDriver, options: FenceOptions) -> BmcFencing:
    """Raises BmcFileError."""
    if options.bmc_file is None:
        raise BmcFileError(f"EVACUATE_FENCING={kind} needs a BMC file", remedy="name it: EVACUATE_BMC_FILE")
    if find_spec("sushy" if kind == "redfish" else "pyghmi") is None:
        raise BmcFileError(
            f"EVACUATE_FENCING={kind} needs a package that is not installed",
            remedy="install the extra: pip install evacuate[bmc]",
        )
    file = BmcFile(options.bmc_file, kind)
    return BmcFencing(file, kind=kind, timeout=options.bmc_timeout, identities=options.identities)
