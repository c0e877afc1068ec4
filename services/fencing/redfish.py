"""Power by Redfish: the DMTF's standard over HTTPS, spoken by sushy."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

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
from services.fencing.bmc_file import Access, split_address

CONNECT = 2.0
"""Seconds for a TCP connection. A BMC that is there takes milliseconds, its first byte may take seconds."""


class Redfish:
    """One system. Every call is a session of its own, and over within `timeout` seconds, all its requests together."""

    def __init__(self, access: Access, timeout: float) -> None:
        self._access = access
        self._timeout = timeout
        # Its lines carry addresses, and what they say is in our errors.
        logging.getLogger("sushy").setLevel(logging.CRITICAL)

    def is_off(self) -> bool:
        with self._system() as system:
            state = cast("PowerState | None", system.power_state)
        if state is None:
            raise FenceFailedError(f"the BMC of {self._access.host} does not say whether it is on or off")
        return state is PowerState.OFF

    def cut(self) -> None:
        with self._system() as system:
            if ResetType.FORCE_OFF not in system.get_allowed_reset_system_values():
                raise BmcSystemError(
                    f"the BMC of {self._access.host} cannot force it off",
                    remedy="switch it off by hand, and confirm that",
                )
            system.reset_system(ResetType.FORCE_OFF)

    @contextmanager
    def _system(self) -> Generator[System]:
        access = self._access
        link = _Budgeted(_url(access.address), access.verify, self._timeout)
        try:
            with self._named():
                basic = auth.BasicAuth(username=access.username, password=access.password)
                yield sushy.Sushy(_url(access.address), auth=basic, connector=link).get_system(_path(access.system))
        finally:
            link.close()

    @contextmanager
    def _named(self) -> Generator[None]:
        """What sushy raises, in our words: its own have addresses in them."""
        try:
            yield
        except (exceptions.SushyError, requests.exceptions.RequestException, ValueError, KeyError) as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> FenceFailedError:
        bmc = f"the BMC of {self._access.host}"
        if isinstance(error, exceptions.AccessError):
            return BmcCredentialsError(
                f"{bmc} refuses the account (HTTP {error.status_code})",
                remedy="correct its username and password in the BMC file; the account must be allowed to switch power",
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
            return BmcTlsError(
                f"{bmc} does not prove who it is: {_tls_reason(error)}",
                remedy="name who signed its certificate as ca_file in the BMC file, and the name in it as address",
            )
        if isinstance(error, exceptions.ConnectionError | requests.exceptions.RequestException):
            return BmcUnreachableError(
                f"{bmc} does not answer", remedy="check its address in the BMC file, its network and its power"
            )
        return BmcUnreachableError(
            f"{bmc} answers what is not Redfish ({type(error).__name__})", remedy="look at the BMC"
        )


class _Budgeted(connector.Connector):
    """All requests together may take `seconds`. Nothing is retried here: whoever fences does that."""

    def __init__(self, url: str, verify: bool | str, seconds: float) -> None:
        # 1, not 0: that stands for three tries.
        whom: Any = verify
        super().__init__(url, verify=whom, server_side_retries=1, connect_timeout=min(CONNECT, seconds))
        self._give_up = time.monotonic() + seconds

    def _op(self, method: str, path: str = "", *args: Any, **more: Any) -> Any:
        left = self._give_up - time.monotonic()
        if left <= 0:
            raise exceptions.ConnectionError(url="", error="out of time")
        more.update(timeout=left, server_side_retries_left=0)
        return cast("Callable[..., Any]", super()._op)(method, path, *args, **more)


def _url(address: str) -> str:
    name, port = split_address(address) or (address, None)
    name = f"[{name}]" if ":" in name else name
    return f"https://{name}:{port}" if port else f"https://{name}"


def _path(system: str | None) -> str | None:
    return system if system is None or system.startswith("/") else f"/redfish/v1/Systems/{system}"


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
        "certificate has expired": "its certificate has expired",
    }
    return next((text for sign, text in known.items() if sign in said), "the TLS handshake failed")
