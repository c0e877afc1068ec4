"""A driver is a folder and a row: one that nobody has seen before brings an instance back, whole."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from control.outcomes import outcome_of
from control.requests import new_request_id, request_evacuation
from embedded.namespace import wait_until_ready
from evacuation.errors import MalformedRequestError
from evacuation.fleet import Fleet, FleetFlavor, FleetHost, FleetInstance
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from services.drivers import FENCES, HYPERVISORS
from services.runtime.settings import Settings
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from services.sql import SqlServices, migrate, open_services
from tests.integration.drivers.toy import rack
from tests.integration.drivers.toy.fence import ToyFence
from tests.integration.drivers.toy.hypervisor import ToyDriver
from tests.support.stack import temporal_server
from workers.control import serve_control
from workers.host import serve_host

HOSTS = ("cmp-1", "cmp-2")
PATIENCE = 60.0


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The two rows."""
    monkeypatch.setitem(HYPERVISORS, "toy", ToyDriver)
    monkeypatch.setitem(FENCES, "toy", ToyFence)
    for host in HOSTS:
        rack.switch_on(host)
    yield
    rack.clear()


@pytest.fixture
def settings(tmp_path: Path, toy: None) -> Iterator[Settings]:
    with temporal_server(tmp_path) as address:
        settings = Settings(
            state_dir=tmp_path, temporal_address=address, hypervisor="toy", fencing="toy", time_scale=0.25
        )
        migrate(settings.store_url)
        yield settings


def fleet() -> Fleet:
    small = FleetFlavor(vcpus=1, memory_mb=512, disk_gb=5)
    return Fleet(
        hosts=[FleetHost(name=name, vcpus=4, memory_mb=4096, disk_gb=50) for name in HOSTS],
        instances=[FleetInstance(name="web-01", host="cmp-1", flavor=small)],
    )


@asynccontextmanager
async def running(*served: Coroutine[Any, Any, None]) -> AsyncGenerator[list["asyncio.Task[None]"]]:
    tasks = [asyncio.ensure_future(each) for each in served]
    try:
        yield tasks
    finally:
        await end(*tasks)


async def end(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


async def until_up(services: SqlServices) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(instance.power_state != "running" for instance in services.views.instances()) or any(
            host.state != "up" for host in services.views.hosts()
        ):
            await asyncio.sleep(0.1)


async def evacuate(settings: Settings, services: SqlServices) -> EvacuationOutcome:
    """The worker of cmp-1 falls silent; its guest runs on."""
    await wait_until_ready(settings, timeout=20)
    async with running(serve_control(settings), *(serve_host(settings, host) for host in HOSTS)) as (_, first, _):
        await until_up(services)
        await end(first)
        client, instance = await connect(settings), services.views.instance("web-01")
        request = EvacuationRequest(request_id=new_request_id(), instance_id=instance.id, requested_by="me")
        accepted = await request_evacuation(client, instance, request, settings.tuning, join=False)
        return await outcome_of(accepted.handle, instance.id)


def test_evacuation_by_a_hypervisor_and_a_fence_that_are_a_folder_and_a_row_each(settings: Settings) -> None:
    services = open_services(settings.store_url)
    services.fleet.load(fleet())
    outcome = asyncio.run(evacuate(settings, services))
    instance = services.views.instance("web-01")
    services.close()
    assert (outcome.outcome, outcome.destination, instance.host) == ("recovered", "cmp-2", "cmp-2")
    assert [host for host, _ in rack.GUESTS] == ["cmp-2"]
    assert set(rack.BOOTS) == {"cmp-2"}


@pytest.mark.parametrize("setting", ["HYPERVISOR", "FENCING", "VOLUMES"])
def test_driver_that_is_no_row_is_refused_with_the_names_of_those_that_are(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"EVACUATE_{setting}", "toy")
    with pytest.raises(MalformedRequestError, match=f"EVACUATE_{setting}: Input should be '.*' or '.*'"):
        settings_for()
