"""When a host's worker was last heard, and what that makes of what the store says of the host and its guests."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from evacuation.model import HostState, PowerState
from evacuation.views import HostView, InstanceView

SILENT_AFTER = timedelta(seconds=90)
"""A worker asks for work once a minute, at least."""
NAMED = 5
Heard = Mapping[str, datetime | None]
"""By host; None: not since Temporal has forgotten it, some minutes. Who is not in it could not be looked at."""


def is_silent(host: str, heard: Heard, now: datetime) -> bool | None:
    """None: nobody knows."""
    if host not in heard:
        return None
    at = heard[host]
    return at is None or now - at > SILENT_AFTER


def seen(host: HostView, heard: Heard, now: datetime) -> HostView:
    """Of a host that is down it does not matter."""
    if host.state != HostState.UP:
        return host
    return host.model_copy(update={"last_seen": heard.get(host.name), "silent": is_silent(host.name, heard, now)})


def guest_seen(instance: InstanceView, heard: Heard, now: datetime) -> InstanceView:
    """`heard`: of the hosts that are up."""
    host = instance.host or ""
    return instance.model_copy(update={"host_last_seen": heard.get(host), "host_silent": is_silent(host, heard, now)})


def host_line(host: HostView) -> HostView:
    """For a table."""
    return host.model_copy(update={"state": f"{host.state} (silent)"}) if host.silent else host


def guest_line(instance: InstanceView) -> InstanceView:
    """For a table: what was recorded last of a guest, with a doubt, where its host is silent."""
    doubtful = instance.host_silent and instance.power_state != PowerState.NOSTATE
    return instance.model_copy(update={"power_state": f"{instance.power_state}?"}) if doubtful else instance


def silence(name: str, at: datetime | None) -> str:
    since = f"since {at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "for longer than Temporal remembers"
    return f"{name}: silent {since}"


def silences(instances: Iterable[InstanceView]) -> Iterator[str]:
    """A line for each silent host that guests are on."""
    by_host: dict[str, list[InstanceView]] = {}
    for each in instances:
        if each.host is not None and each.host_silent:
            by_host.setdefault(each.host, []).append(each)
    for host, guests in by_host.items():
        names = ", ".join(guest.name for guest in guests[:NAMED]) + (" …" if len(guests) > NAMED else "")
        yield f"{silence(host, guests[0].host_last_seen)}: nobody knows whether its guests run: {names}"
