"""What happens, drawn from the seed: for every subject dice of its own, so that no timing changes what is drawn."""

import random
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Literal

from evacuation.model import Frozen
from tests.chaos.plan import STEPS, UNDECIDED

FATES = {"none": 74, "cancelled": 9, "terminated": 8, "reset": 5, "deleted": 2, "not asked for": 2}
Fate = Literal["none", "cancelled", "terminated", "reset", "deleted", "not asked for"]

RETURNING = ("register_host", "authorize_start", "start_guest", "record_started", "complete_return")
RULES = {"fail": 5, "delay": 5, "lose": 3, "hang": 2, "refuse": 2, "kill": 1}
PROCESS = {"control-killed": 3, "host-worker-killed": 4, "control-frozen": 2, "host-worker-frozen": 2}
TEMPORAL = {"temporal-killed": 1}
STORE = {"postgres-killed": 2, "store-unreachable": 1}
RULE_SHARE = 0.55
"""Of all faults: those that a worker does to itself, by the faults file."""


def dice(*parts: object) -> random.Random:
    return random.Random("/".join(map(str, parts)))


class Ask(Frozen):
    """One request, and what becomes of it. Seconds; `after` the host's death, `fate_after` the request."""

    instance: str
    after: float
    priority: int
    target: str | None
    target_state: Literal["active", "stopped"] | None
    wait_for_capacity: timedelta | None
    fate: Fate
    fate_after: float
    again_after: float

    @property
    def options(self) -> dict[str, object]:
        """Fields of the request."""
        chosen = {name: getattr(self, name) for name in ("target", "target_state", "wait_for_capacity")}
        return {name: value for name, value in chosen.items() if value is not None}


class Death(Frozen):
    """A host dies. `back`: seconds until it is powered on again; None: only in the round after."""

    host: str
    after: float
    back: float | None


class Fault(Frozen):
    """`gap`: seconds since the fault before."""

    kind: str
    gap: float
    host: str
    rule: dict[str, object] | None = None


def deaths(seed: str, number: int, up: Sequence[str], fewest: int, *, peopled: Collection[str]) -> tuple[Death, ...]:
    """One host, sometimes two; so that at least `fewest` stay up. The first is one on which somebody lives, if there
    is any: the death of an empty host asks nothing of anybody."""
    throw = dice(seed, "round", number)
    count = min(1 + (throw.random() < 0.3), len(up) - fewest)
    order = throw.sample(sorted(up), len(up))
    first = next((host for host in order if host in peopled), None)
    order.sort(key=lambda host: host != first)
    return tuple(_death(throw, host) for host in order[: max(0, count)])


def _death(throw: random.Random, host: str) -> Death:
    back = throw.choice((throw.uniform(0.5, 4.0), throw.uniform(4.0, 15.0), throw.uniform(4.0, 15.0), None))
    return Death(host=host, after=throw.uniform(0, 3), back=back)


def ask(seed: str, number: int, instance: str, hosts: Sequence[str]) -> Ask:
    throw = dice(seed, "round", number, instance)
    return Ask(
        instance=instance,
        after=throw.uniform(0, 3),
        priority=throw.randint(1, 5),
        target=throw.choice(hosts) if throw.random() < 0.12 else None,
        target_state=throw.choice(("active", "active", "stopped")) if throw.random() < 0.25 else None,
        wait_for_capacity=timedelta(seconds=throw.randint(2, 10)) if throw.random() < 0.15 else None,
        fate=_weighted(throw, FATES),
        fate_after=throw.uniform(0, 3),
        again_after=throw.uniform(0, 2),
    )


def fault(seed: str, number: int, hosts: Sequence[str], *, rate: float, postgres: bool, sparing: bool = False) -> Fault:
    """The number-th fault; `rate` a minute on average. `sparing`: none that ends a process whose memory is to be
    judged."""
    throw = dice(seed, "fault", number)
    gap, host = throw.expovariate(rate / 60), throw.choice(hosts)
    if throw.random() < RULE_SHARE:
        return _rule(throw, gap, host, {do: weight for do, weight in RULES.items() if not (sparing and do == "kill")})
    kinds = PROCESS | ({} if sparing else TEMPORAL) | (STORE if postgres else {})
    return Fault(kind=_weighted(throw, kinds), gap=gap, host=host)


def _rule(throw: random.Random, gap: float, host: str, rules: dict[str, int]) -> Fault:
    """Once. A refusal where nothing is decided ends the evacuation, and one at a return leaves a guest unstarted:
    both as they must, and neither a fault of interest."""
    do = _weighted(throw, rules)
    # What every evacuation and every return comes to is struck more often than what only some come to.
    steps = [step for route in STEPS.values() for step in route] + [*STEPS["forward"], *RETURNING] * 2
    if do == "refuse":
        steps = [step for step in steps if step not in (*UNDECIDED, *RETURNING)]
    rule: dict[str, object] = {"activity": throw.choice(steps), "at": throw.choice(("before", "after")), "times": 1}
    rule["do"] = f"delay {throw.randint(50, 2500)}ms" if do == "delay" else do
    if do == "lose":
        # Before the effect there is no reply to lose.
        rule["at"] = "after"
    return Fault(kind=do, gap=gap, host=host, rule=rule)


def _weighted(throw: random.Random, weights: dict[str, int]) -> str:
    return throw.choices(list(weights), list(weights.values()))[0]
