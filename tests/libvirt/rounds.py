"""Real guests under random faults, for as many rounds as are asked for: python -m tests.libvirt.rounds --help

In each round a host loses its power, its worker, or everybody's sight of it (partitioned: its guests write on), its
guests are evacuated, and something else may go wrong meanwhile; then every host comes back. After each round every
guest runs once, in one place, and its disk has one writer after the other and no lost record.

With --beside somebody else works on the fleet, too: guests are migrated, saved, destroyed, defined again and started by
themselves, libvirtd and the storage daemon are started again, BMCs restart and lie. Then, whatever is not as the store
has it, `check` names it; and once that is mended as `check` says, everything is whole again.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from services.hypervisors.process.disk import breaches, runs
from tests.libvirt.beside import Beside
from tests.libvirt.conftest import missing
from tests.libvirt.lab.lab import lab_of
from tests.libvirt.lab.shell import until
from tests.libvirt.power import power_of
from tests.libvirt.stack import LibvirtStack, running
from tests.libvirt.storage import StorageStack
from tests.support.ending import end_early_when_told

PATIENCE = 170.0
LOSSES = ("power lost", "partitioned", "worker killed")
"""Of the source. In the last two its guests live and write, until the fence has cut the power."""
TROUBLES = ("nothing", "nothing", "source comes back", "destination's libvirtd killed", "destination loses power")
"""What else happens while the guests are evacuated."""
LATEST = 4.0
"""Seconds after the requests within which it happens: fences take one, and guests boot for some."""


class Rounds:
    def __init__(self, stack: LibvirtStack, seed: str, *, beside: bool = False) -> None:
        self._stack = stack
        self._random = random.Random(seed)
        self._beside = Beside(stack, self._random) if beside else None
        self.moves: Counter[str] = Counter()

    def play(self) -> None:
        """Says what is done, and how the evacuations ended. Raises AssertionError, TimeoutError: something is not as
        it must be."""
        source = self._random.choice(sorted({each.host or "" for each in self._stack.instances()}))
        loss, trouble = self._random.choice(LOSSES), self._random.choice(TROUBLES)
        act = self._random.choice(self._beside.names) if self._beside else "nothing"
        lost = [each.name for each in self._stack.instances() if each.host == source]
        print(f"{source} with {', '.join(lost)}: {loss}; {trouble}", end="", flush=True)
        if self._beside and act in self._beside.before:
            self._act(act, source)
        self._lose(source, loss)
        asked = [self._stack.begin_evacuation(name) for name in lost]
        if self._beside and act not in self._beside.before:
            self._act(act, source)
        time.sleep(self._random.uniform(0.5, LATEST))
        struck = self._make(trouble, source)
        outcomes = Counter(outcome(process) for process in asked)
        print(f": {', '.join(f'{count} {name}' for name, count in outcomes.items())}", end="", flush=True)
        if struck is not None:
            self._evacuate_what_was_on(struck)
        self._bring_everything_back()
        if self._beside:
            self._mend(self._beside)
        self._look()
        self.moves.update({loss: 1, trouble: 1} | outcomes)

    def _act(self, act: str, source: str) -> None:
        assert self._beside is not None
        print(f"; {act}: {self._beside.do(act, source) or '-'}", end="", flush=True)
        self.moves[act] += 1

    def _mend(self, beside: Beside) -> None:
        """Once everything has come to rest: what is not as the store has it is named first. A host that the store has
        not yet heard of since its power came back is no rest, and looks like one. Raises AssertionError."""
        assert self._stack.power is not None
        self._stack.power.be_honest()
        until(self._is_at_rest, "every host is up and nothing is under way", within=PATIENCE)
        try:
            until(lambda: not self._unnamed() and self._is_at_rest(), "check names what is wrong", within=PATIENCE)
        except TimeoutError:
            raise AssertionError(f"check does not name {self._unnamed()}: {self._places()}") from None
        if done := beside.mend():
            print(f"; mended: {', '.join(done)}", end="", flush=True)

    def _unnamed(self) -> list[str]:
        wrong = self._misplaced()
        said = self._stack.check() if wrong else ""
        return [name for name in wrong if name not in said]

    def _is_at_rest(self) -> bool:
        at_rest = all(each.task_state is None for each in self._stack.instances())
        return at_rest and all(host.state == "up" for host in self._stack.hosts())

    def _misplaced(self) -> list[str]:
        """Names of the guests that do not run just once, where the store has them, as it has them."""
        running = {name: Counter(host.guest_names()) for name, host in self._stack.lab.hosts.items()}

        def places(name: str) -> list[str]:
            return [host for host, found in running.items() for _ in range(found[name])]

        return [each.name for each in self._stack.instances() if places(each.name) != [each.host]]

    def _lose(self, name: str, loss: str) -> None:
        host = self._stack.lab.hosts[name]
        if loss == "power lost":
            self._stack.power_off(name)
            return
        if loss == "partitioned":
            host.partition()
        # Its worker speaks to Temporal past the lab's network: cut off is as good as dead.
        for pid in host.processes("python"):
            self._stack.kill(pid)

    def _make(self, trouble: str, source: str) -> str | None:
        """The second host that lost its power, if one did."""
        others = [name for name in self._stack.lab.hosts if name != source]
        busy = [name for name in others if self._stack.lab.hosts[name].guests()]
        chosen = self._random.choice(busy or others)
        if trouble == "source comes back":
            self._stack.power_on(source)
        elif trouble == "destination's libvirtd killed":
            self._stack.lab.hosts[chosen].signal_libvirtd(signal.SIGKILL)
            self._stack.lab.hosts[chosen].start_libvirtd()
        elif trouble == "destination loses power":
            self._stack.power_off(chosen)
            return chosen
        return None

    def _evacuate_what_was_on(self, host: str) -> None:
        left = [each.name for each in self._stack.instances() if each.host == host]
        self.moves.update(outcome(self._stack.begin_evacuation(name)) for name in left)

    def _bring_everything_back(self) -> None:
        """A host whose worker was killed or partitioned, and which was not fenced after all, is power-cycled."""
        for name, host in self._stack.lab.hosts.items():
            host.heal()
            if not host.processes("python"):
                self._stack.power_off(name)
            self._stack.power_on(name)

    def _look(self) -> None:
        try:
            until(self._is_whole, "every host is up, and every guest runs once", within=PATIENCE)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self._places()}") from None
        for each in self._stack.instances():
            before = len(self._stack.journal(each.name))
            until(lambda each=each, n=before: len(self._stack.journal(each.name)) > n, f"{each.name} writes")
            journal = self._stack.journal(each.name)
            assert breaches(journal) == [], breaches(journal)
            last = runs(journal)[-1]
            # Somebody who was migrated goes on under the host and the epoch that it was started with.
            writes = self._beside.started_on(each.name, last.epoch) if self._beside else None
            assert last.host in (each.host, writes), f"{each.name} is on {each.host}, and {last} writes"
        self._stack.evacuate("check")

    def _is_whole(self) -> bool:
        """Every host is up; guests run where the store has them, and nowhere else."""
        up = all(host.state == "up" for host in self._stack.hosts())
        states = [(each.vm_state, each.power_state, each.task_state) for each in self._stack.instances()]
        return up and all(each == RUNS for each in states) and not self._misplaced()

    def _places(self) -> str:
        states = [f"{e.name} {e.vm_state} {e.task_state} on {e.host}" for e in self._stack.instances()]
        counts = {name: host.guest_names() for name, host in self._stack.lab.hosts.items()}
        return f"{states}, {[f'{host.name} {host.state}' for host in self._stack.hosts()]}, guests {counts}"


RUNS = ("active", "running", None)


def outcome(process: "subprocess.Popen[str]") -> str:
    """How it ended, or why it was refused: as the command says it."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it does not end: {process.communicate()[1]}") from None
    if not out.strip():
        return f"refused ({err.strip().splitlines()[-1] if err.strip() else process.returncode})"
    said = json.loads(out)
    return said["outcome"] if "outcome" in said else f"refused ({said.get('error_type')})"


def placed(guests: int, hosts: Sequence[str]) -> dict[str, str]:
    return {f"vm-{number}": hosts[number % len(hosts)] for number in range(guests)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.libvirt.rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--guests", type=int, default=4)
    parser.add_argument("--seed", default="1", help="of all that is random")
    parser.add_argument("--beside", action="store_true", help="somebody else works on the fleet, too")
    parser.add_argument("--volumes", action="store_true", help="disks are network volumes of one storage daemon")
    options = parser.parse_args()
    if why := missing():
        print(f"error: {why}: see deploy/packages.sh", file=sys.stderr)
        return 2
    hosts, began = ("a", "b", "c"), time.monotonic()
    with lab_of(*hosts) as lab, power_of(lab) as power, ExitStack() as ending:
        made = StorageStack(lab, power, "1 of power") if options.volumes else LibvirtStack(lab, power)
        stack = ending.enter_context(running(made, placed(options.guests, hosts)))
        rounds = Rounds(stack, options.seed, beside=options.beside)
        for number in range(1, options.rounds + 1):
            print(f"{time.monotonic() - began:6.1f} s  round {number}: ", end="", flush=True)
            rounds.play()
            print(flush=True)
        print(f"{options.rounds} rounds, no guest ran twice, no write lost: {dict(rounds.moves)}")
    return 0


if __name__ == "__main__":
    end_early_when_told()
    sys.exit(main())
