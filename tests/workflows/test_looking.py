"""The hosts are looked at, some at once, within a limit of time."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from control import asking
from control.host_observer import AT_ONCE, ask_all
from evacuation import messages as m
from evacuation.names import CONTROL_QUEUE, probe_queue
from services.runtime.settings import Settings
from tests.workflows.conftest import OPTIONS
from tests.workflows.fakes import hang
from workflows.ask_hosts import AskHosts

QUICK = Settings(time_scale=0.2)


@pytest.fixture
def env(env: WorkflowEnvironment) -> Iterator[WorkflowEnvironment]:
    """Its clock goes by itself: what is measured is who answers within the limits, not who is skipped past them."""
    with env.auto_time_skipping_disabled():
        yield env


def requests(number: int) -> tuple[m.ProbeRequest, ...]:
    return tuple(m.ProbeRequest(host=f"cmp-{n}", hypervisor_uuid=None) for n in range(number))


class Looked:
    """The probe of a host, which is looked at."""

    def __init__(self) -> None:
        self.live: list[str] = []

    @activity.defn
    async def list_guests(self, message: m.ProbeRequest) -> m.HostReport:
        if message.host == "cmp-1":
            await hang(beating=False)
        if message.live:
            self.live.append(message.host)
        return m.HostReport(host=message.host, hypervisor_uuid="u", machine_id="m", incarnation="b", guests=())


async def test_every_host_is_looked_at_and_who_is_silent_is_told(env) -> None:
    looked = Looked()
    probes = [Worker(env.client, task_queue=probe_queue(f"cmp-{n}"), activities=[looked.list_guests]) for n in range(6)]
    control = Worker(env.client, task_queue=CONTROL_QUEUE, workflows=[AskHosts], **OPTIONS)
    async with control, probes[0], probes[1], probes[2], probes[5]:
        found = await ask_all(env.client, QUICK, requests(6))
    assert found.why_no_more is None
    told = {each.host: (each.report is not None, each.silent) for each in found.answers}
    assert told == {f"cmp-{n}": (n in (0, 2, 5), n in (1, 3, 4)) for n in range(6)}
    assert sorted(looked.live) == ["cmp-0", "cmp-2", "cmp-5"]


async def test_nobody_is_asked_where_no_control_worker_serves(env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.host_observer.PATIENCE", 1.0)
    asked, real = list[int](), asking.ask_page

    async def ask_page(client: Client, settings: Settings, number: int, *page: Any, **how: Any) -> Any:
        asked.append(number)
        return await real(client, settings, number, *page, **how)

    monkeypatch.setattr(asking, "ask_page", ask_page)
    found = await asyncio.wait_for(ask_all(env.client, QUICK, requests(40)), 60)
    assert (
        found.answers == () and found.why_no_more == "no control worker answers in time, so that hosts cannot be asked"
    )
    assert len(asked) <= AT_ONCE // asking.PAGE_WITH_GUESTS, "of ten pages those that were asked at once"


async def test_what_was_heard_counts_when_the_time_is_over(env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.host_observer.LONGEST", 1.5)
    monkeypatch.setattr("control.host_observer.AT_ONCE", 1)
    looked = Looked()
    order = tuple(each for each in requests(6) if each.host != "cmp-1")
    probes = [Worker(env.client, task_queue=probe_queue(f"cmp-{n}"), activities=[looked.list_guests]) for n in (0, 2)]
    control = Worker(env.client, task_queue=CONTROL_QUEUE, workflows=[AskHosts], **OPTIONS)
    slow = Settings(time_scale=1.0)
    monkeypatch.setattr("control.asking.PAGE_WITH_GUESTS", 2)
    async with control, probes[0], probes[1]:
        found = await ask_all(env.client, slow, order)
    assert {each.host for each in found.answers if each.report} == {"cmp-0", "cmp-2"}
    assert {"cmp-4", "cmp-5"}.isdisjoint(each.host for each in found.answers)
