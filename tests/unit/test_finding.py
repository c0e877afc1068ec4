"""One question to all hosts serves many who look for a guest, and never one who must know of now."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from evacuation import messages as m
from evacuation.errors import StoreUnavailableError
from evacuation.model import PowerState
from services.runtime.settings import Settings
from workers import finding
from workers.finding import ALL, SharedFinder

WEB, DB = "7c9a5e0e-0000-4000-8000-000000000001", "7c9a5e0e-0000-4000-8000-000000000002"
HOSTS = ("cmp-1", "cmp-2")


class Hosts(SharedFinder):
    """`having`: hosts that have web's guest; `asked`: which were asked at once, in order."""

    def __init__(self, *having: str, scale: float = 1.0) -> None:
        requests = [m.ProbeRequest(host=each, hypervisor_uuid=None) for each in HOSTS]
        super().__init__(cast("Any", None), Settings.model_construct(time_scale=scale), lambda: requests)
        self.having = set(having)
        self.asked: list[tuple[str, ...]] = []

    async def _ask(self, what: str, number: int, hosts: Sequence[m.ProbeRequest]) -> tuple[m.HostReport, ...]:
        self.asked.append(tuple(each.host for each in hosts))
        found = tuple(self._report(each.host) for each in hosts)
        await asyncio.sleep(0.01)
        return found

    def _report(self, host: str) -> m.HostReport:
        guests = (
            (m.GuestState(instance_id=WEB, epoch=1, power_state=PowerState.RUNNING),) if host in self.having else ()
        )
        return m.HostReport(host=host, hypervisor_uuid="u", machine_id="m", incarnation="boot-1", guests=guests)


async def found(hosts: Hosts, instance: str = WEB, since: datetime | None = None) -> set[str]:
    return {each.host for each in await hosts.look((instance,), since or datetime.now(UTC)) if each.guests}


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def test_every_host_says_what_it_has_of_the_instance_and_of_no_other():
    hosts = Hosts("cmp-2")
    assert await found(hosts) == {"cmp-2"}
    assert await found(hosts, DB) == set()


async def test_many_who_look_since_a_moment_before_share_one_question():
    hosts, since = Hosts(), ago(1)
    await asyncio.gather(*(found(hosts, DB, since) for _ in range(50)))
    assert await found(hosts, DB, since) == set()
    assert hosts.asked == [HOSTS]


async def test_answer_is_too_old_for_who_looks_since_a_later_moment():
    hosts = Hosts()
    await found(hosts, since=ago(1))
    hosts.having.add("cmp-2")
    assert await found(hosts, since=datetime.now(UTC)) == {"cmp-2"}
    assert hosts.asked == [HOSTS] * 2


async def test_answer_is_too_old_after_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(finding, "FRESH", 0.01)
    hosts = Hosts()
    await found(hosts, since=ago(1))
    await asyncio.sleep(0.02)
    await found(hosts, since=ago(1))
    assert hosts.asked == [HOSTS] * 2


async def test_who_must_know_of_now_waits_for_a_question_of_its_own_and_shares_that():
    hosts = Hosts()
    first = asyncio.create_task(found(hosts))
    while not hosts.asked:
        await asyncio.sleep(0)
    hosts.having.add("cmp-1")
    assert await asyncio.gather(*(found(hosts) for _ in range(20))) == [{"cmp-1"}] * 20
    assert await first == set()
    assert hosts.asked == [HOSTS] * 2


async def test_host_that_had_it_a_while_ago_is_asked_anew():
    hosts = Hosts("cmp-2")
    assert await found(hosts, DB, ago(1)) == set()
    hosts.having.clear()
    assert await found(hosts, WEB, ago(1)) == set()
    assert hosts.asked == [HOSTS, ("cmp-2",)]


class Slow(Hosts):
    """Forty hosts; all but the first page of them never answer."""

    def __init__(self, *having: str) -> None:
        super().__init__(*having, scale=0.05)
        self._hosts = lambda: [m.ProbeRequest(host=f"cmp-{n}", hypervisor_uuid=None) for n in range(1, 41)]
        self.pages = 0

    async def _ask(self, what: str, number: int, hosts: Sequence[m.ProbeRequest]) -> tuple[m.HostReport, ...]:
        self.pages += what == ALL
        if number:
            await asyncio.Event().wait()
        return await super()._ask(what, number, hosts)


async def test_who_has_answered_is_heard_where_others_take_too_long():
    hosts = Slow("cmp-2")
    assert await asyncio.to_thread(hosts.find, (WEB,), ago(1)) != ()
    assert {each.host for each in await asyncio.to_thread(hosts.find, (WEB,), ago(1)) if each.guests} == {"cmp-2"}


async def test_question_goes_on_for_others_though_those_who_wait_give_up():
    hosts = Slow("cmp-39")
    since = ago(0)
    await asyncio.gather(*(found(hosts, WEB, since) for _ in range(20)))
    await asyncio.sleep(0.2)
    assert await found(hosts, WEB, since) <= {"cmp-39"}
    await asyncio.sleep(0.4)
    assert (hosts.pages, await found(hosts, DB, since)) == (3, set())


async def test_question_that_the_store_did_not_let_begin_is_asked_anew():
    hosts, there = Hosts("cmp-2"), [m.ProbeRequest(host=each, hypervisor_uuid=None) for each in HOSTS]

    def away() -> list[m.ProbeRequest]:
        raise StoreUnavailableError("it is away")

    hosts._hosts, since = away, ago(1)
    with pytest.raises(StoreUnavailableError):
        await found(hosts, WEB, since)
    hosts._hosts = lambda: there
    assert await found(hosts, WEB, since) == {"cmp-2"}
