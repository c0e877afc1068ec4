"""The guest's own word that it is up. That libvirt calls a domain running says nothing: its firmware may hang, or its
processor may be emulated so slowly that it never gets anywhere.

agent   the QEMU guest agent answers `guest-ping`
serial  a line of the serial console matches; libvirt keeps the console in a file of this start
ping    the first NIC's address answers an echo request from this host
none    libvirt's word is taken
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args
from xml.etree.ElementTree import Element, SubElement

from evacuation.errors import DestinationUnableError
from evacuation.messages import GuestSignal, GuestSpec
from evacuation.model import Frozen
from services.definitions.libvirt.metadata import signal_of
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.patterns import Matcher, require_sound

AGENT_CHANNEL = "org.qemu.guest_agent.0"
PING_TIMEOUT = 1


class AwaitedSignal(Frozen):
    """What one guest's sign of life is, and where to look for it. Kept beside the guest, so that whoever settles it
    after its spawner's death knows too."""

    kind: GuestSignal
    instance_id: str
    epoch: int
    given: bool = False
    line: str
    console: Path
    address: str | None

    def describe(self) -> str:
        match self.kind:
            case "agent":
                return "its guest agent"
            case "serial":
                return f"a console line with {self.line!r}"
            case "ping":
                return f"an answer from {self.address}"
            case "none":
                return "libvirt's word"


def awaited_signal(domain: Element, guest: GuestSpec, options: LibvirtOptions) -> AwaitedSignal:
    """The request's word goes before the definition's, and that before the host's setting.

    Prepares the domain to give it. Raises DestinationUnableError when it has not what that takes."""
    kind, line = signal_of(domain)
    if kind is not None and kind not in get_args(GuestSignal):
        raise DestinationUnableError(
            f"the definition of {guest.name} names the unknown signal {kind!r}",
            remedy=f"known: {', '.join(get_args(GuestSignal))}",
        )
    awaited = AwaitedSignal(
        kind=guest.signal or kind or options.signal,  # pyright: ignore[reportArgumentType]  # checked above
        instance_id=guest.instance_id,
        epoch=guest.epoch,
        line=line or options.signal_line,
        console=options.state_dir / "consoles" / f"{guest.instance_id}.log",
        address=guest.nics[0].ip if guest.nics else None,
    )
    return _prepared(awaited, domain, guest.name)


def _prepared(awaited: AwaitedSignal, domain: Element, name: str) -> AwaitedSignal:
    if awaited.kind == "serial":
        _keep_console(domain, name, awaited.console)
    elif awaited.kind == "agent" and not _has_agent(domain):
        raise DestinationUnableError(
            f"{name} gives its sign of life by its guest agent, and its definition has no channel {AGENT_CHANNEL}",
            remedy="add the channel, or name another signal",
        )
    elif awaited.kind == "ping" and awaited.address is None:
        raise DestinationUnableError(
            f"{name} gives its sign of life by a ping, and has no port", remedy="name another signal"
        )
    return awaited


def _keep_console(domain: Element, name: str, path: Path) -> None:
    """A file of its own for every start: what an earlier one said is gone."""
    serial = domain.find("devices/serial")
    if serial is None:
        raise DestinationUnableError(
            f"{name} gives its sign of life by its serial console, and its definition has none",
            remedy="add one, or name another signal",
        )
    for old in serial.findall("log"):
        serial.remove(old)
    path.parent.mkdir(parents=True, exist_ok=True)
    SubElement(serial, "log", {"file": str(path), "append": "off"})
    console = domain.find("devices/console")
    if console is not None and (console.find("target") is None or console.find("target[@type='serial']") is not None):
        # libvirt makes it again from the serial device, of which it is a copy.
        domain.find("devices").remove(console)  # pyright: ignore[reportOptionalMemberAccess]  # the console is in it


def _has_agent(domain: Element) -> bool:
    return any(each.get("name") == AGENT_CHANNEL for each in domain.findall("devices/channel/target"))


class Signals:
    """Looks, once, whether a guest has given its signal. Raises SignalPatternError: nobody can tell."""

    def __init__(self, connection: LibvirtConnection) -> None:
        self._connection = connection
        self._matcher = Matcher()

    def require_sound(self, awaited: AwaitedSignal, beat: Callable[[str], None]) -> None:
        """Before anything is started by it. Raises SignalPatternError, HypervisorUnavailableError."""
        if awaited.kind == "serial":
            self._connection.elsewhere("a look at its pattern", lambda: require_sound(awaited.line), beat=beat)

    def is_given(self, awaited: AwaitedSignal, beat: Callable[[str], None]) -> bool:
        match awaited.kind:
            case "agent":
                return bool(self._connection.run("agent_answers", awaited.instance_id))
            case "serial":
                return self._connection.elsewhere("the console", lambda: self._console_says(awaited), beat=beat)
            case "ping":
                return self._connection.elsewhere("ping", lambda: _answers_ping(awaited.address or ""))
            case "none":
                return True

    def _console_says(self, awaited: AwaitedSignal) -> bool:
        return self._matcher.console_says(awaited.console, awaited.line)


def _answers_ping(address: str) -> bool:
    program = shutil.which("ping")
    if program is None:
        raise DestinationUnableError("no program `ping` on this host", remedy="install it, or name another signal")
    command = [program, "-n", "-c", "1", "-W", str(PING_TIMEOUT), address]
    return subprocess.run(command, capture_output=True, timeout=PING_TIMEOUT + 5, check=False).returncode == 0
