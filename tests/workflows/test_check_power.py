"""The power of hosts is read, and their workers are asked: all of them, whatever comes of one."""

from contextlib import AsyncExitStack
from typing import Any

from temporalio import activity
from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.errors import HypervisorUnavailableError
from evacuation.model import PowerReading
from evacuation.names import CONTROL_QUEUE, probe_queue
from evacuation.power_check import PowerCheck, PowerLook
from tests.workflows.conftest import OPTIONS
from workflows.all import ALL
from workflows.check_power import CheckPower


class Site:
    """`off`, `broken`: hosts whose power reads so, or whose reading fails. `order`: what was asked."""

    def __init__(self, *, off: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> None:
        self.off, self.broken = off, broken
        self.order: list[str] = []

    @activity.defn
    async def look_at_power(self, ref: m.HostRef) -> PowerLook:
        self.order.append(f"power of {ref.host}")
        if ref.host in self.broken:
            raise ValueError("a mistake")
        power = PowerReading.OFF if ref.host in self.off else PowerReading.ON
        return PowerLook(host=ref.host, driver="redfish", able=True, power=power)


class Host:
    def __init__(self, site: Site, name: str, *, fails: bool = False) -> None:
        self.site, self.name, self.fails = site, name, fails

    @activity.defn
    async def probe_host(self, request: m.ProbeRequest) -> m.ProbeAnswer:
        self.site.order.append(f"worker of {self.name}")
        if self.fails:
            raise HypervisorUnavailableError("libvirtd is dead")
        return m.ProbeAnswer(host=self.name, incarnation="boot-1", in_service=True)


async def check(env: Any, site: Site, hosts: tuple[Host, ...], *silent: str) -> dict[str, PowerCheck]:
    names = [each.name for each in hosts] + list(silent)
    requests = tuple(m.ProbeRequest(host=name, hypervisor_uuid=None) for name in names)
    async with AsyncExitStack() as workers:
        queues = [(CONTROL_QUEUE, ALL, site.look_at_power)]
        queues += [(probe_queue(each.name), [], each.probe_host) for each in hosts]
        for queue, workflows, served in queues:
            worker = Worker(env.client, task_queue=queue, workflows=workflows, activities=[served], **OPTIONS)
            await workers.enter_async_context(worker)
        found = await env.client.execute_workflow(
            CheckPower.run,
            m.CheckPowerInput(hosts=requests, tuning=m.Tuning(scale=0.3)),
            id="check-power",
            task_queue=CONTROL_QUEUE,
        )
    assert [each.host for each in found.checks] == names
    return {each.host: each for each in found.checks}


async def test_every_host_is_named_with_what_it_reads_and_whether_it_answers(env):
    site = Site(off=("cmp-2", "cmp-4"))
    hosts = (Host(site, "cmp-1"), Host(site, "cmp-2"), Host(site, "cmp-3", fails=True))
    found = await check(env, site, hosts, "cmp-4")
    assert {name: (each.answers, each.power.value) for name, each in found.items()} == {
        "cmp-1": (True, "on"),
        "cmp-2": (True, "off"),
        "cmp-3": (True, "on"),
        "cmp-4": (False, "off"),
    }
    assert [name for name, each in found.items() if each.problem] == ["cmp-2"]


async def test_worker_is_asked_after_the_power_was_read(env):
    site = Site()
    await check(env, site, (Host(site, "cmp-1"),))
    assert site.order == ["power of cmp-1", "worker of cmp-1"]


async def test_reading_that_fails_is_said_of_its_host_alone(env):
    site = Site(broken=("cmp-1",))
    found = await check(env, site, (Host(site, "cmp-1"), Host(site, "cmp-2")))
    assert "the power of cmp-1 was not read: " in (found["cmp-1"].problem or "")
    assert found["cmp-1"].power is PowerReading.UNKNOWN and found["cmp-2"].problem is None
