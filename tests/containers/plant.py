"""Hosts that are containers, with guests that write to shared disks: evacuated again and again, through faults.

The test sees all of it from outside: the guests in the process table, their disks, the store, Temporal."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker

from embedded.subjects import write_names
from evacuation.errors import EvacuateError
from evacuation.messages import EvacuationOutcome
from evacuation.views import InstanceView
from services.hypervisors.process import ProcessHost, ProcessRoot
from services.hypervisors.process.disk import Record, breaches, read_journal, runs
from tests.containers.machinery import Containers
from tests.containers.stack import Stack, stack_of
from tests.support.stack import Answer
from tests.support.stack import Stack as Commands

HERE = Path(__file__).parent
FILES = ("compose.yaml", "compose.process.yaml", str(HERE / "faults.yaml"))
HOSTS = ("sim-1", "sim-2", "sim-3")
HERD = ("herd-1", "herd-2", "herd-3")
EVERYBODY = ("postgres", "temporal", "control", *HOSTS)
WORD = "its container is dead"
SCALE = 0.2
HEARTBEAT = 10 * SCALE
"""Seconds after which a spawn that says nothing is given up."""
PATIENCE = 150.0


class Plant:
    """`source` is where the herd lives; `to` and `beside` are the other two hosts."""

    def __init__(self, stack: Stack, commands: Commands, machinery: Containers) -> None:
        self.stack = stack
        self.commands = commands
        self.machinery = machinery
        self.state_dir = Path(commands.environment["EVACUATE_STATE_DIR"])
        self._disks = ProcessRoot(self.state_dir)

    @property
    def source(self) -> str:
        host = self.instance(HERD[0]).host
        assert host is not None
        return host

    @property
    def to(self) -> str:
        """The next one in the circle."""
        return HOSTS[(HOSTS.index(self.source) + 1) % len(HOSTS)]

    def faults(self, *rules: Mapping[str, object]) -> None:
        self.commands.set_faults([dict(rule) for rule in rules])

    def begin(self, to: str, *rules: Mapping[str, object], options: Sequence[str] = ()) -> None:
        """The herd's host dies, and each of the herd is to go to that host; faults happen by these rules."""
        self.machinery.kill(self.source)
        self.faults(*rules)
        for name in HERD:
            answer = self.evacuate(name, "--target", to, "--source-confirmed-off", WORD, "--no-wait", *options)
            assert answer.code == 0, answer

    def begin_and_hold(
        self, to: str, step: str = "spawn_guest", *, at: str = "before", options: Sequence[str] = ()
    ) -> None:
        """All of the herd are in that step on that host, and stay in it until the faults are lifted."""
        self.begin(to, {"activity": step, "host": to, "at": at, "do": "hold"}, options=options)
        self.until_herd_is_at(step)

    def evacuate(self, name: str, *options: str) -> Answer:
        return self.commands.run(["instance", "evacuate", name, *options])

    def until_herd_is_at(self, step: str) -> None:
        for name in HERD:
            self.commands.until_step(name, step)

    def instance(self, name: str) -> InstanceView:
        return self.stack.instance(name)

    def journal(self, name: str) -> list[Record]:
        return read_journal(self._disks.disk(self.instance(name).id))

    def writers(self, name: str) -> list[str]:
        """The hosts whose guests wrote to the disk, in order."""
        return [run.host for run in runs(self.journal(name))]

    def outcome(self, name: str) -> EvacuationOutcome | None:
        """Of the instance's last evacuation; None while it is open."""
        rows = self.stack.ask_store(lambda services: services.views.evacuations())
        last = [row for row in rows if row.instance == name][-1]
        return None if last.open else last.outcome

    def verify_recovered(self, to: str) -> None:
        """The herd lives on that host, each in one copy that goes on where the last one stopped; then every fault is
        undone, the dead come back, and all the invariants hold."""
        for name in HERD:
            self.until(lambda name=name: self.outcome(name) is not None, f"the evacuation of {name} ends")
            outcome, found = self.outcome(name), self.instance(name)
            assert outcome is not None and (outcome.outcome, outcome.destination) == ("recovered", to), outcome
            assert (found.host, found.vm_state, found.power_state, found.task_state) == (to, "active", "running", None)
            assert found.fault is None
        self.restore()
        self.verify_invariants()
        for name in HERD:
            assert self.writers(name)[-1] == to

    def restore(self) -> None:
        """Everything runs and is connected, nothing is in flight, and every host serves."""
        self.faults()
        for service in EVERYBODY:
            self.machinery.settle(service)
        self.until(self._is_at_rest, "everything is at rest")

    def verify_invariants(self) -> None:
        """`check` on the store, the processes and the disks; and each guest once, where it is recorded."""
        answer = self.commands.run("check --json")
        assert (answer.code, answer.json) == (0, []), answer
        world = self.commands.world()
        for instance in world.rows.instances:
            assert [guest.host for guest in world.guests_of.get(instance.id, [])] == [instance.host], instance.name
            assert breaches(self.journal(instance.name)) == []

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """A store that is away meanwhile is waited for."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(EvacuateError):
                if condition():
                    return
            assert time.monotonic() < deadline, f"never: {what}\n{self.stack.logs()}"
            time.sleep(0.1)

    def _is_at_rest(self) -> bool:
        rows = self.stack.ask_store(lambda services: services.views.everything())
        up = all(
            (row.state, row.incarnation) == ("up", ProcessHost(self.state_dir, row.name).incarnation())
            for row in rows.hosts
        )
        return (
            up
            and not any(row.open for row in rows.evacuations)
            and all((row.vm_state, row.power_state) == ("active", "running") for row in rows.instances)
        )


@contextmanager
def plant_of(images: Mapping[str, str], client: docker.DockerClient) -> Iterator[Plant]:
    """Its shared directory is at the same path for the containers and for the test."""
    directory = Path(tempfile.mkdtemp(prefix="evacuate-plant-"))
    shared = directory / "state"
    shared.mkdir()
    (shared / "faults.yaml").write_text("[]\n")
    settings = {
        "EVACUATE_SHARED": str(shared),
        "EVACUATE_SHARED_AT": str(shared),
        "EVACUATE_USER": f"{os.getuid()}:{os.getgid()}",
        "EVACUATE_TEST_TIME_SCALE": str(SCALE),
    }
    try:
        with stack_of(images, HERE / "plant.yaml", files=FILES, settings=settings) as stack:
            yield _plant(directory, stack, client)
    finally:
        shutil.rmtree(directory)


def _plant(directory: Path, stack: Stack, client: docker.DockerClient) -> Plant:
    state = directory / "state"
    commands = Commands(
        directory,
        stack.temporal,
        settings={
            "EVACUATE_STATE_DIR": str(state),
            "EVACUATE_TEMPORAL_NAMESPACE": "default",
            "EVACUATE_DATABASE_URL": stack.store_url,
            "EVACUATE_HYPERVISOR": "process",
            "EVACUATE_FENCING": "operator",
            "EVACUATE_TIME_SCALE": str(SCALE),
        },
    )
    commands.faults = state / "faults.yaml"
    instances = stack.ask_store(lambda services: services.views.instances())
    write_names(state / "names.json", {each.id: each.name for each in instances})
    plant = Plant(stack, commands, Containers(client, stack.project))
    plant.restore()
    return plant


class Plants:
    """The plant that all tests share; one that cannot be brought to rest is left, and another one built."""

    def __init__(self, images: Mapping[str, str], client: docker.DockerClient) -> None:
        self._make = lambda: plant_of(images, client)
        self._open: Any = None
        self._plant: Plant | None = None

    def at_rest(self) -> Plant:
        if self._plant is not None:
            try:
                self._plant.restore()
                self._plant.verify_invariants()
                return self._plant
            except Exception:
                self.close()
        self._open = self._make()
        self._plant = self._open.__enter__()
        return self._plant

    def close(self) -> None:
        opened, self._open, self._plant = self._open, None, None
        if opened is not None:
            opened.__exit__(None, None, None)
