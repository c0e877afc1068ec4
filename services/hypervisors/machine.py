"""Which machine this is, and which boot of it."""

import re
import uuid
from contextlib import suppress
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{32}")


def machine_id(named: str | None = None) -> str:
    """Which machine this is, the same after every boot: as it was named; else /etc/machine-id, when a system has
    written one; else a hardware address, which a container gets again with its address."""
    if named:
        return named
    with suppress(OSError, UnicodeDecodeError):
        if _ID.fullmatch(text := Path("/etc/machine-id").read_text(encoding="ascii").strip()):
            return text
    return f"{uuid.getnode():012x}"


def boot_id() -> str:
    """Which boot of this machine it is; empty where the system does not tell."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""
