"""One IPMI call: the request as JSON on standard input, the answer as the last line of standard output."""

import json
import sys
from collections.abc import Callable
from typing import Any

CHASSIS, CONTROL, POWER_DOWN = 0x00, 0x02, 0x00
APP, SYSTEM_GUID, GUID_BYTES = 0x06, 0x37, 16
HAS_NONE = (0xC1, 0xC2, 0xC9, 0xCB, 0xCC, 0xCE, 0xD4, 0xD5, 0xD6)
"""Completion codes by which a BMC says that there is nothing to be had. Busy, and silence, are not among them."""
KINDS = {
    "account": ("password", "unauthorized name", "rakp4 integrity", "invalid role"),
    "privilege": ("privilege", "unauthorized role"),
    "silent": ("timeout", "timed out", "no longer connected", "disconnected", "failed to initialize"),
    "unsupported": ("invalid command", "unsupported", "parameter out of range"),
}
"""What pyghmi says, in lower case, by what it means."""


def failure_of(text: str) -> str:
    if text in ("", "None"):
        return "silent"
    text = text.lower()
    return next((kind for kind, signs in KINDS.items() if any(sign in text for sign in signs)), "broken")


def order(link: Any) -> dict[str, str]:
    """pyghmi's own power-off looks first, and orders nothing where the BMC says that it is off."""
    answer = link.raw_command(netfn=CHASSIS, command=CONTROL, data=[POWER_DOWN])
    return {"failure": failure_of(str(answer["error"]))} if "error" in answer else {"power": "off"}


def guid_of(link: Any) -> dict[str, str]:
    """As the BMC sends it; empty: it has none."""
    answer = link.raw_command(netfn=APP, command=SYSTEM_GUID)
    if "error" not in answer:
        data = bytes(answer["data"])
        return {"guid": data.hex() if len(data) == GUID_BYTES else ""}
    if answer.get("code") in HAS_NONE:
        return {"guid": ""}
    return {"failure": failure_of(str(answer["error"]))}


def power_of(link: Any) -> dict[str, str]:
    return {"power": str(link.get_power()["powerstate"])}


ACTIONS: dict[str, Callable[[Any], dict[str, str]]] = {"who": lambda _: {}, "read": power_of, "off": order}


def done(link: Any, request: dict[str, Any]) -> dict[str, str]:
    """Nothing is read of another machine, or ordered there. `guids`: what this one may say; empty: anything."""
    who = guid_of(link)
    if request["action"] != "who" and who.get("guid") and request["guids"] and who["guid"] not in request["guids"]:
        return {"failure": "another"} | who
    return who if "failure" in who else who | ACTIONS[request["action"]](link)


def call(request: dict[str, Any]) -> dict[str, str]:
    try:
        from pyghmi.exceptions import PyghmiException
        from pyghmi.ipmi.command import Command
    except ImportError:
        return {"failure": "missing"}
    try:
        link: Any = Command(
            bmc=request["address"],
            userid=request["username"],
            password=request["password"],
            port=request["port"],
            keepalive=False,
        )
        return done(link, request)
    except OSError:
        return {"failure": "silent"}
    except PyghmiException as error:
        return {"failure": failure_of(str(error))}


if __name__ == "__main__":
    print("\n" + json.dumps(call(json.load(sys.stdin))), flush=True)
