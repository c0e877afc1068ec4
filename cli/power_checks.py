"""What would read and cut the power of hosts, looked at before one dies: asked by commands, shown by them."""

import asyncio
from collections.abc import Iterator, Sequence

from cli.output import counted, say
from control import power_checks
from evacuation.errors import NotReadyError, TemporalUnavailableError
from evacuation.messages import ProbeRequest
from evacuation.model import PowerReading
from evacuation.power_check import PowerCheck
from services.runtime.settings import Settings

MOST_NAMED = 20


def check_power(settings: Settings, hosts: Sequence[ProbeRequest]) -> tuple[PowerCheck, ...] | None:
    """By a control worker, which alone reads power. None: it could not be asked, and that is said."""
    try:
        return asyncio.run(power_checks.check_power(settings, hosts))
    except (TemporalUnavailableError, NotReadyError) as error:
        say(f"the power of hosts was not read: {error.line}")
        return None


def of_host(host: str, checks: Sequence[PowerCheck]) -> tuple[PowerCheck, ...]:
    """What concerns whoever asks about one host: its own check first, then those of others that have a problem."""
    own = [each for each in checks if each.host == host]
    return (*own, *(each for each in checks if each.host != host and each.problem))


def told(host: str, checks: Sequence[PowerCheck]) -> Iterator[str]:
    """Every problem, this host's notes, and which others have some."""
    answering = [each for each in checks if each.answers]
    on = sum(each.power is PowerReading.ON for each in answering)
    yield f"power: {on} of {counted(len(answering), 'host')} that answer read on"
    yield from (each.problem for each in of_host(host, checks) if each.problem)
    yield from (note for each in checks if each.host == host for note in each.notes)
    others = [each.host for each in checks if each.host != host and each.notes]
    if others:
        named = ", ".join(others[:MOST_NAMED]) + (
            f" and {len(others) - MOST_NAMED} more" if others[MOST_NAMED:] else ""
        )
        yield f"not shown to be right for {counted(len(others), 'other host')} either: {named}"
