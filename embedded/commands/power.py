"""The power of embedded hosts."""

import time

from cli.output import say
from control.access import open_store
from embedded.stack import require_stack
from evacuation.errors import NotTheStackError
from services.hypervisors.process import ProcessHost
from services.runtime.settings import Settings

RETURN_TIMEOUT = 60.0


def kill(settings: Settings, host: str) -> None:
    """Returns when nothing of the host is left. Writes nothing to the store."""
    _embedded(settings, host).power_off()


def start(settings: Settings, host: str, *, wait: bool) -> None:
    """A host that is on already stays as it is."""
    power = _embedded(settings, host)
    require_stack(settings.state_dir)
    incarnation = power.power_on()
    if not wait:
        say(f"{host} boots as {incarnation}")
        return
    if _is_up(host, incarnation, settings):
        say(f"{host} is up")


def _embedded(settings: Settings, host: str) -> ProcessHost:
    power = ProcessHost(settings.state_dir, host)
    if not power.exists():
        raise NotTheStackError(f"{host} is not a host of an embedded stack in {settings.state_dir}")
    return power


def _is_up(host: str, incarnation: str, settings: Settings) -> bool:
    """False, with the reason said, when it is held for longer than a person wants to wait."""
    deadline = time.monotonic() + RETURN_TIMEOUT
    with open_store() as services:
        while time.monotonic() < deadline:
            view = services.views.host(host)
            if view.incarnation == incarnation and view.state == "up":
                return True
            held = [e.instance for e in services.views.open_evacuations() if e.holds_source and e.source == host]
            if view.incarnation == incarnation and held:
                say(f"{host} is back and held: the evacuation of {', '.join(held)} still relies on its fence")
                return False
            time.sleep(0.1)
    say(f"{host} is powered on and not up yet: see {settings.state_dir}/logs/host-{host}.log")
    return False
