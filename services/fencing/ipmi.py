"""Power by IPMI 2.0 over UDP (RMCP+), spoken by pyghmi in a process of its own.

pyghmi keeps its sessions in globals that threads must not share, and its retries have no common end. A process a call
has neither problem: it can be killed. The account goes through its standard input, never through its arguments."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

from evacuation.errors import BmcCredentialsError, BmcSystemError, BmcUnreachableError, FenceFailedError
from services.fencing.bmc_file import Access, split_address

HELPER = Path(__file__).with_name("ipmi_call.py")
PORT = 623


class Ipmi:
    """One BMC. Each call is over within `timeout` seconds."""

    def __init__(self, access: Access, timeout: float) -> None:
        self._access = access
        self._timeout = timeout

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
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(HELPER)],
                input=json.dumps(message),
                capture_output=True,
                text=True,
                timeout=self._timeout,
            )
        except subprocess.TimeoutExpired:
            raise self._silent() from None
        return self._read(done)

    def _read(self, done: subprocess.CompletedProcess[str]) -> str:
        try:
            answer = json.loads(done.stdout.splitlines()[-1])
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
