"""Whether the hosts that are said to be up were heard lately, for the commands that show them and their guests."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cli.output import say
from control.access import silence_client
from evacuation.errors import TemporalUnavailableError
from evacuation.model import HostState
from evacuation.names import probe_queue
from evacuation.silence import Heard, guest_seen, seen
from evacuation.views import HostView, InstanceView
from services.runtime.polls import last_polls
from services.runtime.settings import Settings


def seen_hosts(settings: Settings, hosts: Sequence[HostView]) -> tuple[HostView, ...]:
    """Where Temporal cannot say so, they are as the store has them, and that is said."""
    heard = _heard(settings, (host.name for host in hosts if host.state == HostState.UP))
    now = datetime.now(UTC)
    return tuple(seen(host, heard, now) for host in hosts)


def seen_guests(settings: Settings, guests: Sequence[InstanceView], up: frozenset[str]) -> tuple[InstanceView, ...]:
    """As `seen_hosts`; of the hosts that are `up` those are looked at that guests are on."""
    heard = _heard(settings, sorted(up & {guest.host for guest in guests if guest.host is not None}))
    now = datetime.now(UTC)
    return tuple(guest_seen(guest, heard, now) for guest in guests)


def _heard(settings: Settings, hosts: Iterable[str]) -> Heard:
    queues = {probe_queue(host): host for host in hosts}
    if not queues:
        return {}
    silence_client()
    try:
        found = asyncio.run(last_polls(settings, queues))
    except TemporalUnavailableError as error:
        say(f"not asked when hosts were seen last: {error.message}")
        return {}
    if missing := len(queues) - len(found):
        say(f"not asked in time when {missing} of {len(queues)} hosts were seen last")
    return {queues[queue]: at for queue, at in found.items()}
