"""An IPMI 2.0 BMC for one machine: python -m tests.support.ipmi_bmc ROOT NAME PORT USERNAME PASSWORD

It is pyghmi's BMC; it prints a line when it listens."""

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pyghmi.ipmi.bmc import Bmc
from pyghmi.ipmi.private import constants, serversession
from pyghmi.ipmi.private.session import Session

from tests.support.machines import Machine

root, name, port, username, password = sys.argv[1:]
HMAC_SHA1, NO_MATCHING_CIPHER_SUITE, UNAUTHORIZED_NAME = 1, 0x11, 0x0D


class StrictSession(serversession.ServerSession):
    """Says no where pyghmi's own session agrees to what it cannot do, or does not answer at all."""

    def create_open_session_response(self, request: bytearray) -> bytearray:
        if request[12] != HMAC_SHA1:
            return bytearray([request[0], NO_MATCHING_CIPHER_SUITE, 0, 0]) + bytearray(request[4:8])
        return super().create_open_session_response(request)

    def _got_rakp1(self, data: list[int]) -> None:
        if self.authdata.get(bytes(data[28:]).decode()) is None:
            refusal = bytearray([data[0], UNAUTHORIZED_NAME, 0, 0]) + bytearray(self.clientsessionid)
            self.send_payload(refusal, constants.payload_types["rakp2"], retry=False)
            return
        super()._got_rakp1(data)


class MachineBmc(Bmc):
    machine = Machine(Path(root), name)

    def get_power_state(self) -> int:
        return int(self.machine.is_said_to_be_on)

    def get_system_guid(self) -> SimpleNamespace:
        """Hexadecimal; empty: the command is not known."""
        said = self.machine.says.read_text() if self.machine.says.exists() else ""
        if not said:
            raise NotImplementedError
        return SimpleNamespace(bytes_le=bytes.fromhex(said))

    def handle_raw_request(self, request: dict[str, Any], session: Any) -> None:
        if (request["netfn"], request["command"]) == (6, 0x37) and self.machine.says.exists():
            said = self.machine.says.read_text()
            if said.startswith("code "):
                session.send_ipmi_response(code=int(said.removeprefix("code "), 16))
                return
        super().handle_raw_request(request, session)

    def power_off(self) -> None:
        (Path(root) / "orders").open("a").write(f"{name} off\n")
        threading.Thread(target=self.machine.power_off).start()


serversession.ServerSession = StrictSession
bmc = MachineBmc({username: password}, port=int(port), address="::ffff:127.0.0.1")
print(port, flush=True)
while True:
    Session.wait_for_rsp(timeout=30)
