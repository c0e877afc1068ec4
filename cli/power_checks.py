"""What would read and cut the power of hosts, looked at before one dies: asked by commands, shown by them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from temporalio.client import Client, WorkflowFailureError

from cli.access import connect
from cli.failures import answered
from cli.output import counted, say
from embedded.readiness import ask_host
from evacuation.errors import HostFailingError, NotReadyError, TemporalUnavailableError
from evacuation.messages import CheckPowerInput, ProbeRequest
from evacuation.model import PowerReading
from evacuation.names import CONTROL_QUEUE
from evacuation.power_check import PowerCheck
from services.runtime.settings import Settings
from workflows.check_power import CheckPower

PAGE, LONGEST = 32, timedelta(minutes=3)
"""Hosts that one workflow asks, and how long that may take when no BMC answers. One page after the other."""
MOST_NAMED = 20


def check_power(settings: Settings, hosts: Sequence[ProbeRequest]) -> tuple[PowerCheck, ...] | None:
    """By a control worker, which alone reads power. None: it could not be asked, and that is said."""
    try:
        return asyncio.run(ask(settings, hosts))
    except (TemporalUnavailableError, NotReadyError) as error:
        say(f"the power of hosts was not read: {error.line}")
        return None


async def ask(settings: Settings, hosts: Sequence[ProbeRequest]) -> tuple[PowerCheck, ...]:
    """In the order of the hosts. Raises TemporalUnavailableError, NotReadyError."""
    client = await connect(settings)
    await _require_control(client, hosts)
    pages = [hosts[first : first + PAGE] for first in range(0, len(hosts), PAGE)]
    return tuple([each for page in pages for each in await _ask(client, settings, page)])


async def _require_control(client: Client, hosts: Sequence[ProbeRequest]) -> None:
    """That nobody is there who reads is known sooner than it takes to read."""
    with suppress(HostFailingError):
        await ask_host(client, hosts[0].host)


async def _ask(client: Client, settings: Settings, hosts: Sequence[ProbeRequest]) -> tuple[PowerCheck, ...]:
    with answered():
        try:
            found = await client.execute_workflow(
                CheckPower.run,
                CheckPowerInput(hosts=tuple(hosts), tuning=settings.tuning),
                id=f"check-power/{uuid4()}",
                task_queue=CONTROL_QUEUE,
                static_summary="does every host that answers read on?",
                execution_timeout=LONGEST,
            )
        except WorkflowFailureError as error:
            raise NotReadyError(
                "the control workers did not read it in time", remedy="see their logs, and whether BMCs answer"
            ) from error
    return found.checks


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
