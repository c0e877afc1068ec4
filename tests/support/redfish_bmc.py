"""A Redfish service for machines: python -m tests.support.redfish_bmc ROOT CERTIFICATE KEY HTPASSWD NAME...

It is sushy-tools' emulator over HTTPS; the system ids are the machines' names. It prints its port when it listens."""

import json
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flask import redirect, request
from sushy_tools import error
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import fakedriver
from werkzeug.serving import make_server

from tests.support.machines import Machine

root, certificate, key, accounts, *names = sys.argv[1:]
MACHINES = {name: Machine(Path(root), name) for name in names}


class Driver(fakedriver.FakeDriver):
    def get_power_state(self, identity: str) -> str:
        return "On" if MACHINES[self._get(identity)["name"]].is_said_to_be_on else "Off"

    def set_power_state(self, identity: str, state: str) -> None:
        machine = MACHINES[self._get(identity)["name"]]
        (Path(root) / "orders").open("a").write(f"{machine.name} {state}\n")
        if not machine.is_on and (Path(root) / "strict").exists():
            raise error.FishyError("it is off already", 409)
        if state == "ForceOff":
            threading.Thread(target=machine.power_off).start()


@emulator.app.before_request
def as_told() -> Any:
    """`slow` has the seconds that each answer takes; `elsewhere` where everybody is sent; `locked` the status by which
    the right account is refused too."""
    slow, elsewhere, locked = Path(root) / "slow", Path(root) / "elsewhere", Path(root) / "locked"
    if locked.exists():
        return "the account is locked", int(locked.read_text())
    if slow.exists():
        time.sleep(float(slow.read_text()))
    return redirect(elsewhere.read_text() + request.path) if elsewhere.exists() else None


@emulator.app.after_request
def with_its_uuid(response: Any) -> Any:
    """Where the machine has a file of that, its UUID is what the file has in it; empty: the key is missing."""
    name = request.path.rpartition("/")[2]
    if request.method == "GET" and name in MACHINES and MACHINES[name].says.exists():
        system = response.get_json() | {"UUID": MACHINES[name].says.read_text()}
        response.set_data(json.dumps({key: value for key, value in system.items() if key != "UUID" or value}))
    return response


fakedriver.FakeDriver = Driver
state = Path(root) / "emulator"
state.mkdir(exist_ok=True)
emulator.app.configure(
    extra_config={
        "SUSHY_EMULATOR_FAKE_DRIVER": True,
        "SUSHY_EMULATOR_STATE_DIR": str(state),
        "SUSHY_EMULATOR_FEATURE_SET": "minimum",
        "SUSHY_EMULATOR_AUTH_FILE": accounts,
        "SUSHY_EMULATOR_FAKE_SYSTEMS": [
            {"uuid": name, "name": name, "power_state": "On", "nics": []} for name in MACHINES
        ],
    }
)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
server = make_server("127.0.0.1", 0, emulator.app, threaded=True, ssl_context=context)
print(server.server_port, flush=True)
server.serve_forever()
