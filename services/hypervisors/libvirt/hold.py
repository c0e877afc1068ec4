"""Whether this machine lets libvirt start guests of ours at its power-on before the host is reconciled."""

from pathlib import Path
from urllib.parse import urlsplit

UNIT = "evacuate-hold.service"
STARTERS = ("libvirtd.service", "virtqemud.service")


def is_held(uri: str, root: Path = Path("/")) -> bool | None:
    """By the unit's being enabled. None: libvirtd is on another machine, or this one has no systemd."""
    parts = urlsplit(uri)
    is_here = not parts.netloc and parts.scheme in ("qemu", "qemu+unix")
    if not is_here or not (root / "run/systemd/system").is_dir():
        return None
    units = root / "etc/systemd/system"
    return any((units / f"{each}.wants" / UNIT).is_symlink() for each in STARTERS)
