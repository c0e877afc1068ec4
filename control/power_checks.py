"""What would read and cut the power of hosts, looked at before one dies."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from temporalio.client import Client, WorkflowFailureError

from control.access import connect
from control.asking import ask_host
from control.failures import answered
from evacuation.errors import HostFailingError, NotReadyError
from evacuation.messages import CheckPowerInput, PowerChecks, ProbeRequest
from evacuation.names import CHECK_POWER, CONTROL_QUEUE
from evacuation.power_check import PowerCheck
from services.runtime.settings import Settings

PAGE, LONGEST = 32, timedelta(minutes=3)
"""Hosts that one workflow asks, and how long that may take when no BMC answers. One page after the other."""


async def check_power(settings: Settings, hosts: Sequence[ProbeRequest]) -> tuple[PowerCheck, ...]:
    """By a control worker, which alone reads power. In the order of the hosts. Raises TemporalUnavailableError,
    NotReadyError."""
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
                CHECK_POWER,
                CheckPowerInput(hosts=tuple(hosts), tuning=settings.tuning),
                id=f"check-power/{uuid4()}",
                task_queue=CONTROL_QUEUE,
                static_summary="does every host that answers read on?",
                execution_timeout=LONGEST,
                result_type=PowerChecks,
            )
        except WorkflowFailureError as error:
            raise NotReadyError(
                "the control workers did not read it in time", remedy="see their logs, and whether BMCs answer"
            ) from error
    return found.checks
