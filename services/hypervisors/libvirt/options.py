"""How the libvirt hypervisor of one host is set up."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evacuation.errors import HypervisorUnableError, HypervisorUnavailableError, SignalPatternError
from evacuation.messages import GuestSignal
from services.hypervisors.libvirt.patterns import PATTERN_REMEDY, require_sound
from services.runtime.settings import Settings

STATE_DIR = Path("/var/lib/evacuate")


@dataclass(frozen=True, kw_only=True)
class LibvirtOptions:
    """Times in seconds. What each means is with its setting of the same name."""

    host: str
    state_dir: Path
    uri: str = "qemu:///system"
    domain_type: Literal["kvm", "qemu"] = "kvm"
    machine: str | None = None
    cpu: str | None = None
    hypervisor_uuid: str | None = None
    incarnation_file: Path | None = None
    shared_dirs: tuple[Path, ...] = ()
    template: Path | None = None
    bridges: dict[str, str] = field(default_factory=dict[str, str])
    signal: GuestSignal = "none"
    signal_line: str = "login:"
    signal_timeout: float = 90.0
    call_timeout: float = 10.0
    create_timeout: float = 60.0
    reconnect_delay: int = 20
    announce: bool = True
    poll: float = 0.2
    proc: Path = Path("/proc")
    """The process table of the host whose libvirt it is."""


def host_state_dir(settings: Settings, host: str) -> Path:
    """Where a libvirt host's worker keeps what must outlive it."""
    return (settings.host_state_dir or STATE_DIR) / host


def options_of(settings: Settings, host: str) -> LibvirtOptions:
    """Raises HypervisorUnableError."""
    _require_signal(settings.libvirt_signal_line)
    return LibvirtOptions(
        host=host,
        state_dir=host_state_dir(settings, host),
        uri=settings.libvirt_uri,
        domain_type=settings.libvirt_domain_type,
        machine=settings.libvirt_machine,
        cpu=settings.libvirt_cpu,
        hypervisor_uuid=settings.hypervisor_uuid,
        incarnation_file=settings.incarnation_file,
        shared_dirs=settings.libvirt_shared_dirs,
        template=settings.libvirt_template,
        bridges=settings.libvirt_bridges,
        signal=settings.libvirt_signal,
        signal_line=settings.libvirt_signal_line,
        signal_timeout=settings.libvirt_signal_timeout,
        call_timeout=settings.libvirt_call_timeout,
        announce=settings.libvirt_announce,
        reconnect_delay=settings.libvirt_reconnect_delay,
    )


def _require_signal(pattern: str) -> None:
    """What nobody has the time to judge now is judged when a guest is to be looked at by it."""
    try:
        with suppress(HypervisorUnavailableError):
            require_sound(pattern)
    except SignalPatternError as error:
        raise HypervisorUnableError(
            f"EVACUATE_LIBVIRT_SIGNAL_LINE cannot be used: {error.message}", remedy=PATTERN_REMEDY
        ) from error
