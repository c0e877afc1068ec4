"""From a host's power-off to its guests' first write elsewhere, by phase: python -m tests.libvirt.figures --help

Real guests, real libvirtds, the real workflow; fencing confirmed by Redfish over HTTPS. One line of JSON for each
number of guests. The requests are sent by the client's API, as `evacuate` sends them, from a process that is up.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from statistics import median

import psutil

from control.requests import new_request_id, request_evacuation
from evacuation.messages import EvacuationRequest
from evacuation.model import Frozen
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from tests.libvirt.conftest import missing
from tests.libvirt.lab import guests
from tests.libvirt.lab.lab import Lab, lab_of
from tests.libvirt.lab.shell import until
from tests.libvirt.power import power_of
from tests.libvirt.stack import LibvirtStack, stack_on
from tests.support.ending import end_early_when_told

DEAD = "a"
POLL = 0.01
PATIENCE = 120.0


class Times(Frozen):
    """Seconds of one guest. fence: power lost → proven off; steps: → QEMU is started; boot: → the first write."""

    fence: float
    steps: float
    boot: float

    @property
    def ours(self) -> float:
        return self.fence + self.steps

    @property
    def total(self) -> float:
        return self.ours + self.boot


def measure(lab: Lab, count: int) -> list[Times]:
    names = [f"vm-{number}" for number in range(count)]
    with power_of(lab) as power, stack_on(lab, dict.fromkeys(names, DEAD), power) as stack:
        for name in names:
            until(lambda name=name: len(stack.journal(name)) > 5, f"{name} writes")
        lost = time.time()
        stack.power_off(DEAD)
        asyncio.run(request(stack, names))
        wrote = first_writes(stack, names)
        found = [times(stack, name, lost, wrote[name]) for name in names]
        stack.evacuate("check")
        return found


async def request(stack: LibvirtStack, names: Sequence[str]) -> None:
    """All are accepted."""
    settings = Settings(state_dir=stack.directory, temporal_address=stack.address_of_temporal)
    client = await connect(settings)
    wanted = [each for each in stack.instances() if each.name in names]

    async def one(number: int) -> None:
        asked = EvacuationRequest(request_id=new_request_id(), instance_id=wanted[number].id)
        await request_evacuation(client, wanted[number], asked, settings.tuning, join=False)

    await asyncio.gather(*map(one, range(len(wanted))))


def first_writes(stack: LibvirtStack, names: Sequence[str]) -> dict[str, float]:
    """When each guest's second life first wrote to its disk."""
    disks = {each.name: stack.lab.shared / f"{each.id}.raw" for each in stack.instances() if each.name in names}
    found: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE
    while len(found) < len(names):
        assert time.monotonic() < deadline, f"these never wrote: {set(names) - set(found)}"
        for name in set(names) - set(found):
            newest = guests.newest(disks[name])
            if newest is not None and newest.epoch > 1:
                found[name] = time.time()
        time.sleep(POLL)
    return found


def times(stack: LibvirtStack, name: str, lost: float, wrote: float) -> Times:
    events = json.loads(stack.evacuate("action", "list", name, "--json"))[-1]["events"]
    (fenced,) = [datetime.fromisoformat(e["finished_at"]).timestamp() for e in events if e["name"] == "fence_source"]
    started = started_at(stack, name)
    return Times(fence=fenced - lost, steps=started - fenced, boot=wrote - started)


def started_at(stack: LibvirtStack, name: str) -> float:
    """When the guest's QEMU was started, by the kernel's account."""
    instance_id = stack.instance(name).id
    for host in stack.lab.hosts.values():
        for pid in host.guests():
            process = psutil.Process(pid)
            if any(instance_id in word for word in process.cmdline()):
                return process.create_time()
    raise AssertionError(f"{name} runs nowhere")


def line(count: int, found: Sequence[Times]) -> str:
    values = {phase: [getattr(each, phase) for each in found] for phase in PHASES}
    figures = {f"{phase}_{what}_s": round(of(values[phase]), 2) for phase in PHASES for what, of in OF.items()}
    return json.dumps({"guests": count, "measured": len(found)} | figures)


PHASES = ("fence", "steps", "boot", "ours", "total")
OF = {"median": median, "worst": max}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.libvirt.figures", description=__doc__)
    parser.add_argument("--guests", default="1,4,8", help="how many lose their host at once, each number in turn")
    parser.add_argument("--rounds", type=int, default=3, help="of each number; the medians are over all guests of all")
    options = parser.parse_args()
    if why := missing():
        print(f"error: {why}: see deploy/packages.sh", file=sys.stderr)
        return 2
    for count in map(int, options.guests.split(",")):
        found: list[Times] = []
        for _ in range(options.rounds):
            with lab_of("a", "b", "c") as lab:
                found += measure(lab, count)
        print(line(count, found), flush=True)
    return 0


if __name__ == "__main__":
    end_early_when_told()
    sys.exit(main())
