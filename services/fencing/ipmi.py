"""Power by IPMI 2.0 over UDP (RMCP+), spoken by pyghmi in a process of its own.

pyghmi keeps its sessions in globals that threads must not share, and its retries have no common end. A process a call
has neither problem: it can be killed. The account goes through its standard input, never through its arguments."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from evacuation.errors import BmcCredentialsError, BmcSystemError, BmcUnreachableError, FenceFailedError
from evacuation.system_uuid import NAMELESS, spellings, system_uuid
from services.fencing.bmc_file import Access, split_address
from services.fencing.machine import Wanted

HELPER = Path(__file__).with_name("ipmi_call.py")
PORT = 623
QUESTIONS = 5
"""In one call: a session is opened, used twice, and closed."""


class Ipmi:
    """One BMC. Each answer takes `timeout` seconds at most, and so many a call; with a beat a second meanwhile."""

    def __init__(self, access: Access, wanted: Wanted, timeout: float, beat: Callable[[], None]) -> None:
        self._access = access
        self._wanted = wanted
        self._timeout = timeout
        self._beat = beat

    def says(self) -> str | None:
        return _uuid(self._call("who"))

    def is_off(self) -> bool:
        answer = self._call("read")
        self._wanted.require(_uuid(answer))
        return self._power(answer) == "off"

    def cut(self) -> None:
        """Who it is, is compared in the session of the order."""
        self._power(self._call("off"))

    def _call(self, action: Literal["who", "read", "off"]) -> dict[str, Any]:
        name, port = split_address(self._access.address) or (self._access.address, None)
        message = {
            "address": name,
            "port": port or PORT,
            "username": self._access.username,
            "password": self._access.password,
            "action": action,
            "guids": [UUID(each).hex for each in spellings(self._wanted.uuid) | NAMELESS] if self._wanted.uuid else [],
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

    def _read(self, said: str) -> dict[str, Any]:
        try:
            answer = dict(json.loads(said.splitlines()[-1]))
        except (IndexError, ValueError, TypeError):
            answer = {"failure": "broken"}
        if answer.get("failure") == "another":
            self._wanted.require(_uuid(answer))
        if "failure" in answer:
            raise self._error(str(answer["failure"]))
        return answer

    def _power(self, answer: dict[str, Any]) -> str:
        if answer.get("power") not in ("on", "off"):
            raise self._error("broken")
        return str(answer["power"])

    def _error(self, failure: str) -> FenceFailedError:
        bmc = f"the BMC of {self._access.host}"
        match failure:
            case "silent":
                return self._silent()
            case "account":
                return BmcCredentialsError(
                    f"{bmc} refuses the account",
                    remedy="correct its username and password in the BMC file, or unlock it on the BMC",
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


def _uuid(answer: dict[str, Any]) -> str | None:
    """Of a system GUID, whose first three fields most BMCs turn as SMBIOS does."""
    guid = answer.get("guid")
    return system_uuid(str(UUID(bytes_le=bytes.fromhex(guid)))) if guid else None
