"""One IPMI call: the request as JSON on standard input, the answer as the last line of standard output."""

import json
import sys
from typing import Any

CHASSIS, CONTROL, POWER_DOWN = 0x00, 0x02, 0x00
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
        if request["action"] == "off":
            return order(link)
        return {"power": str(link.get_power()["powerstate"])}
    except OSError:
        return {"failure": "silent"}
    except PyghmiException as error:
        return {"failure": failure_of(str(error))}


if __name__ == "__main__":
    print("\n" + json.dumps(call(json.load(sys.stdin))), flush=True)
