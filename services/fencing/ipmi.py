"""Power by IPMI 2.0 over UDP (RMCP+), spoken by pyghmi in a process of its own.

pyghmi keeps its sessions in globals that threads must not share, and its retries have no common end. A process a call
has neither problem: it can be killed. The account goes through its standard input, never through its arguments."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from evacuation.errors import BmcCredentialsError, BmcSystemError, BmcUnreachableError, FenceFailedError
from services.fencing.bmc_file import Access, split_address

HELPER = Path(__file__).with_name("ipmi_call.py")
PORT = 623


QUESTIONS = 4
"""In one call: a session is opened, used, and closed."""


class Ipmi:
    """One BMC. Each answer takes `timeout` seconds at most, and so many a call; with a beat a second meanwhile."""

    def __init__(self, access: Access, timeout: float, beat: Callable[[], None]) -> None:
        self._access = access
        self._timeout = timeout
        self._beat = beat

    def is_off(self) -> bool:
        return self._call("read") == "off"

    def cut(self) -> None:
        self._call("off")

    def _call(self, action: Literal["read", "off"]) -> str:
        name, port = split_address(self._access.address) or (self._access.address, None)
        message = {
            "address": name,
            "port": port or PORT,
            "username": self._access.username,
            "password": self._access.password,
            "action": action,
        }
        return self._read(self._ask(json.dumps(message)))

    def _ask(self, message: str) -> str:
        helper = subprocess.Popen(
            [sys.executable, "-I", str(HELPER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        give_up = time.monotonic() + self._timeout * QUESTIONS
        asked: str | None = message
        with helper:
            while True:
                self._beat()
                try:
                    return helper.communicate(asked, timeout=min(1.0, self._timeout))[0]
                except subprocess.TimeoutExpired:
                    asked = None
                    if time.monotonic() >= give_up:
                        helper.kill()
                        raise self._silent() from None

    def _read(self, said: str) -> str:
        try:
            answer = json.loads(said.splitlines()[-1])
            power, failure = answer.get("power"), answer.get("failure")
        except (IndexError, ValueError, AttributeError):
            power, failure = None, "broken"
        if failure is not None or power not in ("on", "off"):
            raise self._error(str(failure))
        return power

    def _error(self, failure: str) -> FenceFailedError:
        bmc = f"the BMC of {self._access.host}"
        match failure:
            case "silent":
                return self._silent()
            case "account":
                return BmcCredentialsError(
                    f"{bmc} refuses the account", remedy="correct its username and password in the BMC file"
                )
            case "privilege":
                return BmcCredentialsError(
                    f"{bmc} does not let this account switch power", remedy="give the account the privilege OPERATOR"
                )
            case "unsupported":
                return BmcSystemError(f"{bmc} cannot switch its power by IPMI", remedy="use Redfish, if it has that")
            case "missing":
                return BmcSystemError(
                    "pyghmi is not installed here", remedy="install the extra: pip install evacuate[bmc]"
                )
            case _:
                return BmcUnreachableError(f"{bmc} answers with an error of its own", remedy="look at the BMC")

    def _silent(self) -> BmcUnreachableError:
        return BmcUnreachableError(
            f"the BMC of {self._access.host} does not answer",
            remedy="check its address in the BMC file, its network and its power, and that IPMI over LAN is on",
        )
