"""One helper process: it is asked, waited for, and killed when it is late."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evacuation.errors import HypervisorUnableError, HypervisorUnavailableError
from services.hypervisors.libvirt import helper
from services.hypervisors.libvirt.api import FROM_RPC, LibvirtError
from services.hypervisors.libvirt.asked import AskedProcess, EndedError, LateError
from services.hypervisors.libvirt.failures import open_failure

PROGRAM = Path(helper.__file__).resolve()
OLDEST = 7_000_000
"""7.0.0, in libvirt's own counting."""


class Helper:
    """Used by one caller at a time."""

    def __init__(self, uri: str, host: str, *, timeout: float, beat: Callable[[str], None]) -> None:
        """It has opened the URI. Raises HypervisorUnableError, HypervisorUnavailableError."""
        self._host = host
        self._process = AskedProcess(PROGRAM, uri)
        try:
            _require_recent(self._answer("the connection to libvirt", timeout, beat), uri)
        except LibvirtError as error:
            self.end()
            raise _refused(error, uri) from error
        except BaseException:
            self.end()
            raise

    def ask(self, what: str, given: tuple[Any, ...], *, timeout: float, beat: Callable[[str], None]) -> Any:
        """Raises LibvirtError, HypervisorUnavailableError. After the latter it is of no more use."""
        try:
            self._process.tell({"do": what, "with": given})
        except EndedError as error:
            raise self._gone() from error
        return self._answer(what, timeout, beat)

    def end(self) -> None:
        """At once, whatever it waits for."""
        self._process.end()

    def _answer(self, what: str, timeout: float, beat: Callable[[str], None]) -> Any:
        try:
            answer = self._process.answer(timeout=timeout, beat=lambda: beat(f"waiting for {what}"))
        except EndedError as error:
            raise self._gone() from error
        except LateError as error:
            raise HypervisorUnavailableError(
                f"{what} on {self._host} did not come to an end in {timeout:g} s",
                remedy="see what hangs there: libvirtd, a QEMU process, or the shared storage",
            ) from error
        if "error" not in answer:
            return answer["result"]
        error = answer["error"]
        raise LibvirtError(error["code"], error["domain"], error["message"])

    def _gone(self) -> LibvirtError:
        """As a connection that was lost: what only reads may ask again."""
        return LibvirtError(None, FROM_RPC, f"the helper that spoke to libvirt on {self._host} ended")


def _refused(error: LibvirtError, uri: str) -> Exception:
    if error.code == helper.MISSING:
        return HypervisorUnableError(
            f"libvirt-python cannot be loaded ({error})",
            remedy="install it: pip install 'evacuate[libvirt]' (it is built with libvirt's headers)",
        )
    return open_failure(str(error), uri=uri)


def _require_recent(version: int, uri: str) -> None:
    if version < OLDEST:
        raise HypervisorUnableError(
            f"libvirt {dotted(version)} at {uri} is too old", remedy=f"{dotted(OLDEST)} or newer is needed"
        )


def dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
