"""The whole workflow, one evacuation after the other, and in each of them what a person could think of, at any call."""

from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from evacuation import messages as m
from evacuation.errors import EvacuateError
from evacuation.invariants import find_breaches
from evacuation.names import evacuate_instance_id
from services.sql import open_services
from tests.machines.cloud import Cloud, Silent
from tests.machines.fleet import HOSTS, INSTANCES
from tests.machines.metal import Metal
from tests.machines.stage import Call, Event, Stage
from tests.machines.store_machine import start_what_lives
from tests.machines.stores import Fresh

MOST_RUNS_TO_REST = 12
INSTANCE = st.sampled_from(INSTANCES)
HOST = st.sampled_from(HOSTS)


def dies_before(call: Call) -> None:
    call.is_executed = False


def dies_after(call: Call) -> None:
    call.is_answered = False


def freezes(call: Call) -> None:
    """Nobody waits for it any more; it is executed all the same, when it thaws."""
    call.later()


def thaws(call: Call) -> None:
    while call.stage.frozen:
        call.stage.frozen.pop()()


def refuses(_: Call) -> None:
    raise ApplicationError("told to refuse", type="InjectedFaultError", non_retryable=True)


def is_cancelled(call: Call) -> None:
    call.stage.soon(call.stage.tell(call.run, call.run.cancel()))


def is_terminated(call: Call) -> None:
    call.stage.soon(call.run.terminate())


def is_terminated_and_freezes(call: Call) -> None:
    is_terminated(call)
    call.later()


def is_deleted(call: Call) -> None:
    """As the deletion's workflow does it first; the rest comes after the evacuation's end."""
    instance_id = call.workflow_id.removeprefix(evacuate_instance_id(""))
    call.stage.cloud.services.hosts.plan_deletion(instance_id)
    call.stage.soon(call.stage.tell(call.run, call.run.signal("instance_deleted")))


def dies_inside(fuse: int) -> Event:
    def strike(call: Call) -> None:
        call.fuse = fuse

    strike.__name__ = f"dies_inside_{fuse}"
    return strike


def host_dies(host: str) -> Event:
    def strike(call: Call) -> None:
        call.stage.cloud.metal.kill(host)

    strike.__name__ = f"{host}_dies"
    return strike


def host_returns(host: str) -> Event:
    def strike(call: Call) -> None:
        bring_back(call.stage.cloud, host)

    strike.__name__ = f"{host}_returns"
    return strike


def power_is_stuck(call: Call) -> None:
    call.stage.cloud.metal.stuck |= set(HOSTS)


def bring_back(cloud: Cloud, host: str) -> None:
    if host not in cloud.metal.on:
        cloud.metal.boot(host)
    cloud.return_host(host)


EVENT = st.one_of(
    st.sampled_from(
        (
            dies_before,
            dies_after,
            freezes,
            thaws,
            refuses,
            is_cancelled,
            is_terminated,
            is_terminated_and_freezes,
            is_deleted,
            power_is_stuck,
        )
    ),
    st.builds(dies_inside, st.integers(1, 9)),
    st.builds(host_dies, HOST),
    st.builds(host_returns, HOST),
)
SCRIPT = st.dictionaries(st.integers(0, 24), EVENT, max_size=4)


class WorkflowMachine(RuleBasedStateMachine):
    fresh: Fresh
    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self._copy = type(self).fresh()
        services = open_services(self._copy.__enter__())
        self.cloud = Cloud(services, Metal(HOSTS))
        self.ids = {name: services.views.resolve_instance(name) for name in INSTANCES}
        start_what_lives(self.cloud)
        self.stage.cloud, self.stage.frozen, self.stage.after = self.cloud, [], self.get_well

    def get_well(self) -> None:
        """Nothing is wrong any more, but for what has happened."""
        self.cloud.metal.stuck.clear()
        for host in HOSTS:
            bring_back(self.cloud, host)

    @rule(name=INSTANCE, script=SCRIPT)
    def its_host_dies_and_it_is_evacuated(self, name: str, script: dict[int, Event]) -> None:
        host = next(row.host for row in self.cloud.services.views.instances() if row.name == name)
        if host is not None:
            self.cloud.metal.kill(host)
        self._evacuate(name, script)

    @rule(name=INSTANCE, script=SCRIPT)
    def it_is_asked_for_again(self, name: str, script: dict[int, Event]) -> None:
        """Whatever became of the request before."""
        self._evacuate(name, script)

    def _evacuate(self, name: str, script: dict[int, Event]) -> None:
        status = self.stage.evacuate(self.ids[name], script)
        is_open = [row for row in self.cloud.services.views.evacuations() if row.open and row.instance == name]
        assert status == "TERMINATED" or not is_open, f"{status}, and it is open: {self.stage.asked}"
        self.delete_what_is_marked(name)

    def delete_what_is_marked(self, name: str) -> None:
        """The deletion waits for the evacuation, and goes on."""
        hosts = self.cloud.services.hosts
        if any(event is is_deleted for event in self.stage.script.values()) and self.stage.asked:
            with suppress(EvacuateError, Silent):
                plan = hosts.plan_deletion(self.ids[name])
                if not plan.evacuation_running:
                    self._destroy_and_record(plan, self.ids[name])

    def _destroy_and_record(self, plan: m.DeletionPlan, instance_id: str) -> None:
        guest = plan.guest
        if guest is not None:
            if guest.host in self.cloud.metal.serving:
                self.cloud.metal.on[guest.host].destroy(instance_id, guest.epoch)
            else:
                guest = None
        self.cloud.services.hosts.record_deleted(guest, instance_id)

    @rule(host=HOST)
    def kill_host(self, host: str) -> None:
        self.cloud.metal.kill(host)

    @rule(host=HOST)
    def return_host(self, host: str) -> None:
        bring_back(self.cloud, host)

    @precondition(lambda self: self.stage.frozen)
    @rule()
    def thaw(self) -> None:
        while self.stage.frozen:
            self.stage.frozen.pop()()

    @invariant()
    def nothing_is_broken(self) -> None:
        breaches = find_breaches(self.cloud.world())
        assert not breaches, f"{breaches}, after {self.stage.asked}"

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            self.cloud.services.close()
            self._copy.__exit__(None, None, None)

    def _come_to_rest(self) -> None:
        for _ in range(MOST_RUNS_TO_REST):
            self.get_well()
            left = [row.instance for row in self.cloud.services.views.evacuations() if row.open]
            if not left and self.cloud.metal.serving == set(HOSTS):
                break
            for name in left:
                with suppress(RPCError):
                    self._evacuate(name, {})
        else:
            raise AssertionError(f"never at rest: {left}, {self.cloud.metal.serving}")
        self.nothing_is_broken()
