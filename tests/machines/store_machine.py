"""The store under evacuations, returns and deletions in any order, each of whose calls may die, be lost, or come late.

The runs behave as workflows do (`runs.py`); everything else is as bad as it can be. `lies`: an operator may say of a
host that runs that it is off. What guests do is believed to be wrong then; what the rows say must still hold."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evacuation import messages as m
from evacuation.errors import EvacuateError
from evacuation.invariants import find_breaches
from evacuation.model import PowerState
from services.sql import SqlServices, open_services
from tests.machines.cloud import Cloud, Died, Silent
from tests.machines.fleet import HOSTS, INSTANCES
from tests.machines.metal import Metal
from tests.machines.runs import Run
from tests.machines.seen import Seen
from tests.machines.stores import Fresh

HOST = st.sampled_from(HOSTS)
INSTANCE = st.sampled_from(INSTANCES)
PICK = st.integers(0, 99)
FUSE = st.integers(0, 9)
MOST_RUNS_TO_REST = 40


class StoreMachine(RuleBasedStateMachine):
    fresh: Fresh
    lies = False

    def __init__(self) -> None:
        super().__init__()
        self._copy = type(self).fresh()
        self.services = self.open(self._copy.__enter__())
        self.metal = Metal(HOSTS)
        self.cloud = Cloud(self.services, self.metal)
        self.ids = {name: self.services.views.resolve_instance(name) for name in INSTANCES}
        self.runs: dict[str, Run] = {}
        self.number = 0
        start_what_lives(self.cloud)
        self.seen = Seen(self.cloud)
        self.cloud.before_registering = self.rows_are_sound

    def open(self, url: str) -> SqlServices:
        return open_services(url)

    @precondition(lambda self: len(self.runs) < len(INSTANCES))
    @rule(pick=PICK, why=st.sampled_from(("its host died", "it is said to be off", "")))
    def request(self, pick: int, why: str) -> None:
        """One run at a time: its workflow id is the lock."""
        idle = [name for name in INSTANCES if name not in self.runs]
        name = idle[pick % len(idle)]
        host = self._host_of(self.ids[name])
        if host is not None and (why or self.lies):
            self.say_off(host) if self.lies and why != "its host died" else self.metal.kill(host)
        self._request(name)

    def _request(self, name: str) -> None:
        self.number += 1
        with suppress(EvacuateError):
            self.runs[name] = Run(self.cloud, self.ids[name], self.number)

    def _host_of(self, instance_id: str) -> str | None:
        return next(row.host for row in self.services.views.instances() if row.id == instance_id)

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, calls=st.one_of(st.integers(1, 14), st.just(40)))
    def go(self, pick: int, calls: int) -> None:
        self._go(sorted(self.runs)[pick % len(self.runs)], calls)

    def _go(self, name: str, calls: int) -> None:
        for _ in range(calls):
            if name in self.runs:
                self._step(name)

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, fuse=FUSE)
    def die(self, pick: int, fuse: int) -> None:
        """The process of the next call dies at some point of it."""
        self._step(sorted(self.runs)[pick % len(self.runs)], fuse=fuse)

    def _step(self, name: str, *, fuse: int | None = None) -> None:
        run = self.runs[name]
        run.step(fuse=fuse)
        if run.over:
            del self.runs[name]
            assert run.stuck is None, f"a run that nobody replaced was put out: {run.stuck}"

    @precondition(lambda self: self.runs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        run = self.runs[sorted(self.runs)[pick % len(self.runs)]]
        run.cancelled = not run.started

    @precondition(lambda self: self.runs)
    @rule(
        pick=PICK,
        before=st.one_of(st.integers(0, 2), st.integers(0, 13)),
        call=st.sampled_from(("is executed", "freezes", "freezes, and thaws at the end")),
        after=st.one_of(st.just(0), st.integers(1, 12), st.just(40)),
    )
    def terminate(self, pick: int, before: int, call: str, after: int) -> None:
        """Compensates nothing. The call that is under way may be executed by a worker that was frozen, much later. It
        is asked for again at once, or not yet."""
        name = sorted(self.runs)[pick % len(self.runs)]
        self._go(name, before)
        if name in self.runs:
            self._step(name, fuse=None if call == "is executed" else 0)
        self.runs.pop(name, None)
        if after:
            self._request(name)
            self._go(name, after)
        if call == "freezes, and thaws at the end" and self.cloud.frozen:
            self.cloud.tell_late(self.cloud.frozen.pop())

    @precondition(lambda self: self.cloud.told)
    @rule(back=st.integers(1, 12))
    def come_twice(self, back: int) -> None:
        """A call that was made before is executed again: a retry whose first execution was not lost."""
        self.cloud.tell_late(self.cloud.told[-min(back, len(self.cloud.told))])

    @precondition(lambda self: self.cloud.frozen)
    @rule(pick=PICK)
    def thaw(self, pick: int) -> None:
        self.cloud.tell_late(self.cloud.frozen.pop(pick % len(self.cloud.frozen)))

    @rule(host=HOST)
    def claim_at_once(self, host: str) -> None:
        """Everything on a host is asked for, and all that are about to claim do so in the same moment."""
        self.metal.kill(host)
        for name in INSTANCES:
            if name not in self.runs and self._host_of(self.ids[name]) == host:
                self._request(name)
            for _ in ("fence_source", "begin_evacuation"):
                if name in self.runs and self.runs[name].todo[0] in ("fence_source", "begin_evacuation"):
                    self._step(name)
        runs = [self.runs[name] for name in self._claiming()]
        with ThreadPoolExecutor(len(INSTANCES)) as pool:
            list(pool.map(lambda run: run.step(), runs))

    def _claiming(self) -> list[str]:
        return [name for name, run in sorted(self.runs.items()) if run.todo[0] == "claim_capacity"]

    @rule(host=HOST)
    def kill_host(self, host: str) -> None:
        self.metal.kill(host)

    @rule(host=HOST, fuse=st.one_of(st.none(), st.none(), st.integers(0, 20)))
    def return_host(self, host: str, fuse: int | None) -> None:
        """It boots, if it is off; its worker starts, and may die on the way."""
        self.metal.unread.discard(host)
        if host not in self.metal.on:
            self.metal.boot(host)
        self.cloud.return_host(host, fuse=fuse)

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, before=st.integers(0, 9), after=st.integers(0, 12))
    def source_returns(self, pick: int, before: int, after: int) -> None:
        """In the middle of an evacuation from it, that goes on; in the same boot, if it never was off."""
        name = sorted(self.runs)[pick % len(self.runs)]
        source = self.runs[name].facts.instance.source
        self._go(name, before)
        self.return_host(source, None)
        self._go(name, after)

    @rule(host=HOST, stuck=st.booleans())
    def power_is_stuck(self, host: str, stuck: bool) -> None:
        if stuck:
            self.metal.stuck.add(host)
        else:
            self.metal.stuck.discard(host)

    @rule(host=HOST)
    def say_off(self, host: str) -> None:
        """Of the boot that the store knows. Wrong, when `lies`: then its worker is cut off and does not answer, and
        neither does its BMC."""
        known = next(row.incarnation for row in self.services.views.hosts() if row.name == host)
        if self.metal.is_alive(host, known):
            if not self.lies:
                return
            self.metal.serving.discard(host)
            self.metal.unread.add(host)
        self.cloud.say_off(host, known)

    @rule(name=INSTANCE, fuse=st.one_of(st.none(), FUSE))
    def delete(self, name: str, fuse: int | None) -> None:
        with suppress(Died, Silent, EvacuateError):
            self._delete(name, fuse)

    def _delete(self, name: str, fuse: int | None) -> None:
        instance = m.InstanceRef(instance_id=self.ids[name])
        plan: m.DeletionPlan = self.cloud.tell("plan_deletion", instance, fuse=fuse)
        if plan.evacuation_running:
            if name in self.runs:
                self.runs[name].deleted = True
            return
        guest = plan.guest
        if guest is not None:
            call = m.HostCall(host=guest.host, hypervisor_uuid=plan.hypervisor_uuid, incarnation=None)
            try:
                message = m.GuestCall(call=call, instance_id=guest.instance_id, epoch=guest.epoch)
                self.cloud.tell("destroy_guest", message, host=guest.host)
            except Silent:
                guest = None
        self.cloud.tell("record_deleted", m.RecordDeleted(instance_id=instance.instance_id, guest=guest))

    @invariant()
    def nothing_is_broken(self) -> None:
        breaches = find_breaches(self.cloud.world(guests=not self.lies))
        assert not breaches, breaches

    @invariant()
    def rows_are_sound(self) -> None:
        self.services.store._database.read(self.seen.look)

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            self.services.close()
            self._copy.__exit__(None, None, None)

    def _come_to_rest(self) -> None:
        """Nothing more happens: everything ends, and nothing is left over."""
        self.metal.stuck.clear()
        for _ in range(MOST_RUNS_TO_REST):
            for name in sorted(self.runs):
                self._go(name, 60)
            for host in HOSTS:
                self.return_host(host, None)
            still_open = [row for row in self.services.views.evacuations() if row.open]
            for row in still_open:
                if row.instance not in self.runs:
                    self._request(row.instance)
            if not self.runs and not still_open and self.metal.serving == set(HOSTS):
                break
        else:
            raise AssertionError(f"never at rest: {[(n, r.todo) for n, r in self.runs.items()]}")
        self.nothing_is_broken()
        self.rows_are_sound()


def start_what_lives(cloud: Cloud) -> None:
    """As a copied store knows the world: first boots, and the guests that its residences allow."""
    for host in HOSTS:
        boot = cloud.metal.boot(host)
        cloud.metal.serving.add(host)
        cloud.known_alive.add((host, boot.incarnation))
    for row in cloud.services.views.residences():
        power = PowerState.SHUTDOWN if row.instance == "db" else PowerState.RUNNING
        guest = _spec(cloud, row.instance_id, row.epoch, power)
        cloud.metal.on[row.host].spawn(guest, last_look=lambda: None, beat=lambda _: None)


def _spec(cloud: Cloud, instance_id: str, epoch: int, power: PowerState) -> m.GuestSpec:
    facts = cloud.services.store.check_facts(instance_id)
    return m.GuestSpec(
        instance_id=instance_id,
        name=facts.instance.name,
        epoch=epoch,
        flavor=facts.instance.flavor,
        root_disk=facts.instance.root_disk,
        power_state=power,
    )
