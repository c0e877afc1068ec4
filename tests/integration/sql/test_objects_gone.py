"""An object that somebody removes behind the store's back, before each step: it is told, or done without; nothing is
tried for ever, and the undoing holds at once."""

from collections.abc import Callable

import pytest
from sqlalchemy import NullPool, create_engine, text

from activities.block_devices import BlockDeviceActivities
from evacuation import messages as m
from evacuation.errors import EndNotRecordedError, EvacuateError, StaleAttemptError
from evacuation.fleet import Fleet
from services.sql import SqlServices
from tests.integration.sql.world import Evacuation, World, host, instance

CONNECTOR = "boot-1"


def forward_steps(run: "Run") -> dict[str, Callable[[], object]]:
    """In their order, as the workflow takes them."""
    evacuation, devices, to = run.evacuation, run.block_devices, run.to
    connector = m.Connector(host=to, incarnation=CONNECTOR)
    return {
        "begin_evacuation": evacuation.begin,
        "claim_capacity": lambda: evacuation.claim(1, to),
        "record_preparation": lambda: run.services.store.record_preparation(
            m.RecordPreparation(ref=evacuation.at(1), connector=connector)
        ),
        "set_up_network": lambda: evacuation.bind(1, to),
        "fetch_block_devices": run.fetch,
        "detach_volumes": lambda: devices.detach_volumes(
            m.DetachVolumes(ref=evacuation.at(1), devices=run.fetched.devices)
        ),
        "set_up_block_devices": lambda: devices.set_up_block_devices(
            m.SetUpBlockDevices(ref=evacuation.at(1), connector=connector)
        ),
        "authorize_spawn": lambda: evacuation.authorize(1, to),
    }


STEPS = (
    "begin_evacuation",
    "claim_capacity",
    "record_preparation",
    "set_up_network",
    "fetch_block_devices",
    "detach_volumes",
    "set_up_block_devices",
    "authorize_spawn",
)
AFTER_ALL = len(STEPS)
OBJECTS = {
    "volume": "DELETE FROM volume WHERE name = 'data-{n}'",
    "port": "DELETE FROM port WHERE instance_id = '{id}'",
    "network": "DELETE FROM network WHERE name = 'net-{n}'",
    "mapping": "DELETE FROM block_device WHERE instance_id = '{id}'",
    "attachment": "DELETE FROM attachment WHERE instance_id = '{id}'",
    "volume with all of it": (
        "DELETE FROM block_device WHERE instance_id = '{id}';"
        "DELETE FROM attachment WHERE instance_id = '{id}';"
        "DELETE FROM volume WHERE name = 'data-{n}'"
    ),
    "source": "DELETE FROM host WHERE name = 'src-{n}'",
    "destination": "DELETE FROM host WHERE name = 'dst-{n}'",
    "migration": "DELETE FROM migration WHERE instance_id = '{id}'",
    "action": "DELETE FROM action_event; DELETE FROM action WHERE instance_id = '{id}'",
    "allocation": "DELETE FROM allocation WHERE consumer_id = '{id}'",
    "attempt": "DELETE FROM attempt WHERE instance_id = '{id}'",
    "residence": "DELETE FROM residence WHERE instance_id = '{id}' AND proof IS NULL",
}
"""What an operator, or another program, may remove. Constraints do not keep them from it: a database is restored, and
edited, without them."""
NEEDED_AT_THE_END = {"destination": EndNotRecordedError, "residence": StaleAttemptError}
"""Without them there is no place to record the guest at: the end is repeated, with its cause, until somebody puts them
back, or is not this run's any more."""
HOSTS = ("source", "destination")
PLACES = range(AFTER_ALL + 1)


def fleet(gone: str) -> Fleet:
    """For each step an instance that is undone there, and one that goes on. They share their hosts, if no host goes."""
    names = [f"{n}-{way}" for n in PLACES for way in ("back", "on")]
    hosts = names if gone in HOSTS else ["all"]
    return Fleet.model_validate(
        {
            "hosts": [
                host(f"{kind}-{name}", vcpus=64, memory_mb=65536, max_evacuations=100)
                for kind in ("src", "dst")
                for name in hosts
            ],
            "networks": [{"name": f"net-{name}", "cidr": f"10.0.{n}.0/24"} for n, name in enumerate(names)],
            "volumes": [{"name": f"data-{name}", "size_gb": 10} for name in names],
            "instances": [
                instance(
                    f"vm-{name}",
                    f"src-{name if gone in HOSTS else 'all'}",
                    ports=[{"network": f"net-{name}"}],
                    volumes=[f"data-{name}"],
                )
                for name in names
            ],
        }
    )


class Run:
    """The evacuation of one of them."""

    def __init__(self, world: World, url: str, name: str, gone: str) -> None:
        on = name if gone in HOSTS else "all"
        self.services: SqlServices = world.services
        self._url, self.name, self.to = url, name, f"dst-{on}"
        world.fence(f"src-{on}")
        self.evacuation: Evacuation = world.evacuation(f"vm-{name}", f"ev-{name}")
        self.block_devices = BlockDeviceActivities(self.services.store, self.services.volumes)
        self.fetched = m.BlockDevices(devices=())
        self.failed = False

    def fetch(self) -> None:
        self.fetched = self.block_devices.fetch_block_devices(self.evacuation.at(1))

    def remove(self, gone: str) -> None:
        """On a connection on which constraints are not checked, as SQLite's are by default."""
        statement = OBJECTS[gone].format(n=self.name, id=self.evacuation.ref.instance_id)
        engine = create_engine(self._url, poolclass=NullPool)
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            for each in statement.split(";"):
                connection.execute(text(each))

    def undo(self) -> None:
        """As the workflow does, once each."""
        evacuation, undo = self.evacuation, m.Undo(ref=self.evacuation.at(1))
        if self.services.store.call_off(evacuation.at(1)):
            evacuation.guest_gone(1, self.to)
        self.block_devices.tear_down_block_devices(undo)
        self.services.network.unbind(undo.ref)
        self.services.capacity.release(undo.ref)
        evacuation.abandon()


@pytest.mark.parametrize("gone", OBJECTS)
def test_evacuation_without_an_object_is_undone_at_once_or_ends(services: SqlServices, url: str, gone: str) -> None:
    world = World(services, fleet(gone))
    told: list[EvacuateError] = []
    for n in PLACES:
        back, on = Run(world, url, f"{n}-back", gone), Run(world, url, f"{n}-on", gone)
        told += [error for error in (go(back, gone, removed_before=n), go(on, gone, removed_before=n)) if error]
        undo_what_has_begun(back)
        if on.failed:
            undo_what_has_begun(on)
        elif gone in NEEDED_AT_THE_END and n == AFTER_ALL:
            with pytest.raises(NEEDED_AT_THE_END[gone]):
                on.evacuation.finish(1, on.to)
        else:
            on.evacuation.finish(1, on.to)
    assert [error for error in told if error.retryable] == []


def undo_what_has_begun(run: Run) -> None:
    if any(row.id == run.evacuation.ref.evacuation_id for row in run.services.views.evacuations()):
        run.undo()


def go(run: Run, gone: str, *, removed_before: int) -> EvacuateError | None:
    """The error that ended it, before or at the last step."""
    for n, (name, step) in enumerate(forward_steps(run).items()):
        assert name == STEPS[n]
        if n == removed_before:
            run.remove(gone)
        try:
            step()
        except EvacuateError as error:
            run.failed = True
            return error
    if removed_before == AFTER_ALL:
        run.remove(gone)
    return None
