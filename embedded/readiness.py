"""When a stack is ready: every host that is not switched off answers and is up, and every guest there runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from temporalio.client import Client

from control.asking import ask_host
from embedded.namespace import wait_until_ready
from embedded.processes import supervisor_of
from evacuation.errors import HostFailingError, NotReadyError
from evacuation.views import HostView, InstanceView
from services.hypervisors.process import ProcessHost
from services.runtime.settings import Settings
from services.runtime.temporal import connect, namespace_id
from services.sql import SqlServices, open_services

TIMEOUT = 115.0
POLL = 0.2
Tell = Callable[[str, int, int], None]
"""What is being waited for, how many of it are ready, of how many."""


def wait_for_stack(settings: Settings, tell: Tell, *, timeout: float = TIMEOUT) -> None:
    """Raises NotReadyError, which names who is not ready, TemporalUnavailableError; StoreBehindError and
    StoreOwnedError: nothing is started before the store is reconciled, or claimed, for which the stack runs on."""
    asyncio.run(wait_until_ready(settings, timeout=20))
    services = open_services(settings.store_url)
    deadline = time.monotonic() + timeout
    try:
        services.ledger.require_owner(asyncio.run(_owner(settings)))
        while waiting := _not_ready(settings, services, tell):
            _check_supervisor(settings.state_dir)
            services.ledger.require_sound()
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"not ready after {timeout:.0f} s: {', '.join(waiting[:8])}",
                    remedy=f"see {settings.state_dir}/logs",
                )
            time.sleep(POLL)
        hosts = [host.name for host in services.views.hosts() if is_powered(settings.state_dir, host)]
    finally:
        services.close()
    asyncio.run(_ask_all(settings, hosts, deadline))


async def _owner(settings: Settings) -> str:
    return await namespace_id(await connect(settings))


def _check_supervisor(state_dir: Path) -> None:
    if supervisor_of(state_dir) is None:
        raise NotReadyError("the supervisor ended", remedy=f"see {state_dir}/logs/supervisor.log")


def is_powered(state_dir: Path, host: HostView) -> bool:
    power = ProcessHost(state_dir, host.name)
    return power.exists() and not power.is_marked_off()


def _not_ready(settings: Settings, services: SqlServices, tell: Tell) -> list[str]:
    hosts = [host for host in services.views.hosts() if is_powered(settings.state_dir, host)]
    up = {host.name for host in hosts if _is_up(settings.state_dir, host)}
    guests = [each for each in services.views.instances() if _is_to_run(each, {host.name for host in hosts})]
    running = {each.name for each in guests if each.power_state == "running" and each.host in up}
    tell("hosts", len(up), len(hosts))
    tell("guests", len(running), len(guests))
    return [host.name for host in hosts if host.name not in up] + [
        each.name for each in guests if each.name not in running
    ]


def _is_up(state_dir: Path, host: HostView) -> bool:
    return host.state == "up" and host.incarnation == ProcessHost(state_dir, host.name).incarnation()


def _is_to_run(instance: InstanceView, hosts: set[str]) -> bool:
    return instance.vm_state == "active" and instance.host in hosts and instance.task_state is None


async def _ask_all(settings: Settings, hosts: list[str], deadline: float) -> None:
    """A host that is up from before answers only when its worker runs again."""
    client = await connect(settings)
    await asyncio.gather(*(_ask(client, host, deadline) for host in hosts))


async def _ask(client: Client, host: str, deadline: float) -> None:
    while not await _is_there(client, host):
        if time.monotonic() > deadline:
            raise NotReadyError(f"the worker of {host} does not answer")


async def _is_there(client: Client, host: str) -> bool:
    try:
        return await ask_host(client, host) is not None
    except HostFailingError:
        return False
