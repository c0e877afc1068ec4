"""The demonstration with real virtual machines: three hosts with a libvirtd each, guests that count on their disks, one
host whose power fails, the real workflow, and the proof from the disks. Nothing of it is left afterwards.

python -m tests.libvirt.demo [GUESTS]
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime

from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.conftest import missing
from tests.libvirt.lab.lab import lab_of
from tests.libvirt.lab.shell import until
from tests.libvirt.stack import LibvirtStack, stack_on
from tests.support.ending import end_early_when_told

DEAD = "a"
WHY = "demonstration: its init was killed"


class Clock:
    """Seconds since it was started, before every line."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", flush=True)


def main(guests: int = 4) -> int:
    why = missing()
    if why:
        print(f"error: {why}: see deploy/packages.sh", file=sys.stderr)
        return 2
    clock = Clock()
    placed = {f"vm-{number}": "aab"[number % 3] for number in range(guests)}
    with lab_of("a", "b", "c") as lab:
        clock.say("three hosts, each a set of namespaces with its own libvirtd, on one switch")
        with stack_on(lab, placed) as stack:
            clock.say(f"{guests} guests run, each on its own kernel; workers, store and Temporal are up")
            proven = show(stack, clock)
    clock.say("nothing is left")
    return 0 if proven else 1


def show(stack: LibvirtStack, clock: Clock) -> bool:
    lost = [each.name for each in stack.instances() if each.host == DEAD]
    addresses = {name: stack.address(name) for name in lost}
    wait_for_all(lost, lambda name: len(stack.journal(name)) > 5 and stack.lab.fabric.answers(addresses[name]))
    clock.say(f"on {DEAD}: {', '.join(f'{name} ({addresses[name]} answers)' for name in lost)}")
    stack.power_off(DEAD)
    clock.say(f"{DEAD} has lost its power: {', '.join(lost)} are down")
    began = time.monotonic()
    outcomes = [json.loads(process.communicate(timeout=280)[0]) for process in evacuations(stack, lost)]
    clock.say(f"evacuated in {time.monotonic() - began:.1f} s, until each guest itself said that it is up")
    wait_for_all(lost, lambda name: stack.lab.fabric.answers(addresses[name]))
    clock.say(f"all answer at their addresses, {time.monotonic() - began:.1f} s after the requests")
    wait_for_all(lost, lambda name: len(runs(stack.journal(name))) > 1)
    sound = [prove(stack, name) for name in lost]
    print(f"          steps of {lost[0]}: {steps(stack, lost[0])}")
    stack.evacuate("check")
    clock.say("check: no breach")
    recovered = sum(each["outcome"] == "recovered" for each in outcomes)
    print(f"recovered {recovered} of {len(lost)}")
    return all(sound) and recovered == len(lost)


def evacuations(stack: LibvirtStack, names: list[str]) -> list["subprocess.Popen[str]"]:
    return [stack.begin_evacuation(name, WHY) for name in names]


def wait_for_all(names: list[str], condition: Callable[[str], object]) -> None:
    for name in names:
        until(lambda name=name: condition(name), f"{name} is as it should be", within=60)


def prove(stack: LibvirtStack, name: str) -> bool:
    """What the disk says: who ran when, and that no record is lost or written by two."""
    journal = stack.journal(name)
    told = " → ".join(f"{r.host} (epoch {r.epoch}) {r.first.counter}…{r.last.counter}" for r in runs(journal))
    wrong = breaches(journal)
    print(f"          {name}: {told}; {'; '.join(wrong) or 'nothing lost, no two writers'}")
    first, *later = runs(journal)
    return not wrong and len(later) == 1 and later[0].first.counter == first.last.counter + 1


def steps(stack: LibvirtStack, name: str) -> str:
    """Seconds of every step, as the instance's action has them."""
    action = json.loads(stack.evacuate("action", "list", name, "--json"))[-1]
    times = {
        event["name"]: datetime.fromisoformat(event["finished_at"]) - datetime.fromisoformat(event["started_at"])
        for event in action["events"]
    }
    return ", ".join(f"{name} {taken.total_seconds():.1f}" for name, taken in times.items())


if __name__ == "__main__":
    end_early_when_told()
    sys.exit(main(*map(int, sys.argv[1:])))
