"""Which machine this is, and which boot of it."""

import uuid
from contextlib import suppress
from pathlib import Path


def machine_id() -> str:
    """Which machine this is, the same after every boot."""
    with suppress(OSError):
        if text := Path("/etc/machine-id").read_text(encoding="ascii").strip():
            return text
    return f"{uuid.getnode():012x}"


def boot_id() -> str:
    """Which boot of this machine it is; empty where the system does not tell."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""
