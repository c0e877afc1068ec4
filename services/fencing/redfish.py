"""Power by Redfish: the DMTF's standard over HTTPS, spoken by sushy."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import requests
import requests.exceptions
import sushy
from sushy import auth, connector, exceptions
from sushy.resources.constants import PowerState, ResetType
from sushy.resources.system.system import System

from evacuation.errors import (
    BmcCredentialsError,
    BmcSystemError,
    BmcTlsError,
    BmcUnreachableError,
    FenceFailedError,
)
from evacuation.system_uuid import system_uuid
from services.fencing.bmc_file import Access, split_address
from services.fencing.machine import Wanted

CONNECT = 2.0
"""Seconds for a TCP connection. A BMC that is there takes milliseconds, its first byte may take seconds."""
EXPIRED, NOT_YET = "its certificate has expired", "its certificate is not valid yet"
NOT_KNOWN_HERE = "name who signed its certificate as ca_file in the BMC file, and the name in it as address"
OUT_OF_DATE = {
    EXPIRED: "renew it on the BMC, if the clock of this machine is right",
    NOT_YET: "set the clock of this machine, and of the BMC before it makes another one",
}
"""Remedies: no authority that is named elsewhere helps."""


class Redfish:
    """One system, in one session. Each answer takes `timeout` seconds at most, with a beat before each question."""

    def __init__(self, access: Access, wanted: Wanted, timeout: float, beat: Callable[[], None]) -> None:
        self._access = access
        self._wanted = wanted
        self._timeout = timeout
        self._beat = beat
        self._system: System | None = None
        self._is_fresh = False
        # Its lines carry addresses, and what they say is in our errors.
        logging.getLogger("sushy").setLevel(logging.CRITICAL)

    @contextmanager
    def opened(self) -> Generator["Redfish"]:
        access = self._access
        link = _Patient(_url(access.address), access.verify, self._timeout, self._beat)
        try:
            with self._named():
                basic = auth.BasicAuth(username=access.username, password=access.password)
                root = sushy.Sushy(_url(access.address), auth=basic, connector=link)
                self._system, self._is_fresh = root.get_system(_path(access.system)), True
            yield self
        finally:
            link.close()

    def says(self) -> str | None:
        with self._named():
            return self._read_uuid()

    def is_off(self) -> bool:
        """Who it is and what it reads are of one answer."""
        with self._named():
            self._wanted.require(self._read_uuid())
            state = cast("PowerState | None", self._found.power_state)
        if state is None:
            raise FenceFailedError(f"the BMC of {self._access.host} does not say whether it is on or off")
        return state is PowerState.OFF

    def cut(self) -> None:
        with self._named():
            self._wanted.require(self._read_uuid())
            system = self._found
            if ResetType.FORCE_OFF not in system.get_allowed_reset_system_values():
                raise BmcSystemError(
                    f"the BMC of {self._access.host} cannot force it off",
                    remedy="switch it off by hand, and confirm that",
                )
            system.reset_system(ResetType.FORCE_OFF)

    def _read_uuid(self) -> str | None:
        """The system is read. What was read when it was opened is of now; after that it is asked again."""
        if not self._is_fresh:
            self._found.refresh(force=True)
        self._is_fresh = False
        return system_uuid(self._found.uuid)

    @property
    def _found(self) -> System:
        if self._system is None:
            raise RuntimeError("it is not open")
        return self._system

    @contextmanager
    def _named(self) -> Generator[None]:
        """What sushy raises, in our words: its own have addresses in them."""
        try:
            yield
        except (exceptions.SushyError, requests.exceptions.RequestException, ValueError, KeyError) as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> FenceFailedError:
        bmc = f"the BMC of {self._access.host}"
        if _is_elsewhere(error):
            return BmcSystemError(
                f"{bmc} sends us to another machine", remedy="name that one in the BMC file, if it is the right one"
            )
        if isinstance(error, exceptions.AccessError):
            return BmcCredentialsError(
                f"{bmc} refuses the account (HTTP {error.status_code})",
                remedy="correct its username and password in the BMC file, or unlock it on the BMC; "
                "it must be allowed to switch power",
            )
        if isinstance(error, exceptions.ResourceNotFoundError):
            return BmcSystemError(f"{bmc} has no such system", remedy="correct its system in the BMC file")
        if isinstance(error, exceptions.UnknownDefaultError):
            return BmcSystemError(f"{bmc} has not exactly one system", remedy="name its system in the BMC file")
        if isinstance(error, exceptions.HTTPError):
            return BmcUnreachableError(
                f"{bmc} answers with an error (HTTP {error.status_code})", remedy="look at the BMC"
            )
        if isinstance(error, exceptions.ConnectionError) and _is_tls(error):
            reason = _tls_reason(error)
            return BmcTlsError(
                f"{bmc} does not prove who it is: {reason}", remedy=OUT_OF_DATE.get(reason, NOT_KNOWN_HERE)
            )
        if isinstance(error, exceptions.ConnectionError | requests.exceptions.RequestException):
            return BmcUnreachableError(
                f"{bmc} does not answer", remedy="check its address in the BMC file, its network and its power"
            )
        return BmcUnreachableError(
            f"{bmc} answers what is not Redfish ({type(error).__name__})", remedy="look at the BMC"
        )


class _Elsewhere(requests.exceptions.RequestException):
    """The BMC sends whoever asks to another machine."""


class _Patient(connector.Connector):
    """One answer may take `seconds`. Nothing is retried here: whoever fences does that."""

    def __init__(self, url: str, verify: bool | str, seconds: float, beat: Callable[[], None]) -> None:
        # 1, not 0: that stands for three tries.
        whom: Any = verify
        super().__init__(url, verify=whom, server_side_retries=1, connect_timeout=min(CONNECT, seconds))
        self._seconds = seconds
        self._beat = beat
        follow = self._session.get_redirect_target

        def within(resp: requests.Response) -> str | None:
            """An answer from another machine would be about another machine, and it would get the account."""
            target = follow(resp)
            if target is not None and _authority(urljoin(resp.url, target)) != _authority(resp.url):
                raise _Elsewhere("redirected to another authority")
            return target

        self._session.get_redirect_target = within

    def _op(self, method: str, path: str = "", *args: Any, **more: Any) -> Any:
        self._beat()
        more.update(timeout=self._seconds, server_side_retries_left=0)
        return cast("Callable[..., Any]", super()._op)(method, path, *args, **more)


def _authority(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _url(address: str) -> str:
    name, port = split_address(address) or (address, None)
    name = f"[{name}]" if ":" in name else name
    return f"https://{name}:{port}" if port else f"https://{name}"


def _path(system: str | None) -> str | None:
    return system if system is None or system.startswith("/") else f"/redfish/v1/Systems/{system}"


def _is_elsewhere(error: BaseException) -> bool:
    return isinstance(error, _Elsewhere) or isinstance(error.__context__, _Elsewhere)


def _is_tls(error: BaseException) -> bool:
    return isinstance(error.__context__, requests.exceptions.SSLError)


def _tls_reason(error: BaseException) -> str:
    """The library's own few words for it, without the address around them."""
    said = str(error.__context__)
    known: dict[str, str] = {
        "self-signed certificate": "its certificate is signed by nobody known here",
        "self signed certificate": "its certificate is signed by nobody known here",
        "unable to get local issuer": "its certificate is signed by nobody known here",
        "IP address mismatch": "its certificate is for another address",
        "Hostname mismatch": "its certificate is for another name",
        "certificate has expired": EXPIRED,
        "certificate is not yet valid": NOT_YET,
    }
    return next((text for sign, text in known.items() if sign in said), "the TLS handshake failed")
