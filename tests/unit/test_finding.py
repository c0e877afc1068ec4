"""One question to all hosts serves many who look for a guest, and never one who must know of now."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from evacuation import messages as m
from evacuation.model import PowerState
from services.settings import Settings
from workers.finding import SharedFinder

WEB, DB = "7c9a5e0e-0000-4000-8000-000000000001", "7c9a5e0e-0000-4000-8000-000000000002"
HOSTS = ("cmp-1", "cmp-2")


class Hosts(SharedFinder):
    """`having`: hosts that have web's guest; `asked`: which were asked at once, in order."""

    def __init__(self, *having: str, scale: float = 1.0) -> None:
        requests = [m.ProbeRequest(host=each, hypervisor_uuid=None) for each in HOSTS]
        super().__init__(cast("Any", None), Settings.model_construct(time_scale=scale), lambda: requests)
        self.having = set(having)
        self.asked: list[tuple[str, ...]] = []

    async def _ask(self, what: str, hosts: Sequence[m.ProbeRequest]) -> tuple[m.HostReport, ...]:
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


async def test_answer_is_too_old_after_a_while():
    hosts = Hosts(scale=0.001)
    await found(hosts, since=ago(1))
    await asyncio.sleep(0.02)
    await found(hosts, since=ago(1))
    assert hosts.asked == [HOSTS] * 2


async def test_who_must_know_of_now_waits_for_a_question_of_its_own_and_shares_that():
    hosts = Hosts()
    first = asyncio.create_task(found(hosts))
    await asyncio.sleep(0.005)
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
