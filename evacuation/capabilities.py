"""What a host with a libvirt says of itself: what it can run, what it sees, and which domains are there."""

from datetime import datetime

from evacuation.model import Frozen


class SharedDirectory(Frozen):
    """A directory as one host sees it. Hosts that read the same marker there see the same directory: its path
    alone proves nothing."""

    path: str
    marker: str


class SeenDomain(Frozen):
    """A domain as its host has it at this moment, whatever the store believes of it. None: not known, or said by a
    worker of an older release."""

    id: str
    name: str
    active: bool
    epoch: int | None = None
    """Of its mark: the live one, if it runs; 0: it has none."""
    state: str | None = None
    """As virsh says it, and `starting` or `migrating` for what is paused until that is done."""
    disks: tuple[str, ...] | None = None
    """What it writes to as it runs: paths, PROTOCOL:NAME, POOL/VOLUME; None also for a domain that does not run."""
    shareable: tuple[str, ...] = ()
    """Those of them that its definition lets others write to as well."""
    named: tuple[str, ...] | None = None
    """Those that its definition names in place of some of these: a start by libvirt itself would go on from them."""
    autostart: bool | None = None
    managed_save: bool | None = None
    """Its next start goes on from a saved memory, as it was then."""


class HostLook(Frozen):
    """What runs on a host at this moment. `shared`: by which two hosts know that a path is one disk."""

    domains: tuple[SeenDomain, ...]
    shared: tuple[SharedDirectory, ...]


class Unreported(Frozen):
    """A guest of the host whose definition is not followed, and why: what the store has of it is older."""

    id: str
    name: str
    why: str


class PutOff(Frozen):
    """A followed guest that libvirtd would have started by itself, when that was last found, and why that is
    still so; empty: it is off."""

    id: str
    name: str
    at: datetime
    why_not: str = ""


class HostCapabilities(Frozen):
    """None: not known, or whatever a definition asks for is replaced by the host's own setting."""

    hypervisor_version: str | None = None
    machines: dict[str, tuple[str, ...]] | None = None
    """Machine types by architecture, aliases included."""
    cpu_models: tuple[str, ...] | None = None
    """That a guest with `<cpu mode="custom">` may name."""
    network_devices: tuple[str, ...] | None = None
    """Bridges, Open vSwitch's among them, and every other network device."""
    networks: tuple[str, ...] | None = None
    """libvirt's own networks that are active."""
    bridges: dict[str, str] = {}
    """Bridges by network that a guest's own bridge gives way to."""
    shared: tuple[SharedDirectory, ...] = ()
    domains: tuple[SeenDomain, ...] = ()
    unreported: tuple[Unreported, ...] = ()
    autostarts: tuple[PutOff, ...] = ()
    """Of the last days."""
    held: bool | None = None
    """At its power-on nothing starts a followed guest before the host is reconciled. None also: it has no systemd."""
