"""What one recovery costs the store, in one process without Temporal: python -m tests.benchmarks.store --fleet 500x5000

JSON lines: processor milliseconds and statements of one recovery, median over rounds. With `--against 3x60` both fleets
take turns, pair by pair, so that what else the machine does is the same for both, and the last line has the ratio."""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from evacuation import messages as m
from evacuation.fencing import FencingPolicy
from evacuation.messages import EvacuationRequest
from evacuation.request import check
from services.sql import migrate, open_services
from tests.benchmarks.grown import BOOT, SOURCE, Size, fill, fleet_of
from tests.integration.sql.world import Evacuation, World
from tests.integration.sql.world import event as step
from tests.support.postgres import fresh_database, postgres_server

NEVER_READ = FencingPolicy(reading_age=timedelta(days=1))
"""The store alone is measured: nothing here has a power to be read."""
STEPS = (
    *("check_request", "fence_source", "begin_evacuation", "claim_capacity", "prepare_destination"),
    *("record_preparation", "set_up_network", "fetch_block_devices", "detach_volumes", "set_up_block_devices"),
    *("connect_volumes", "authorize_spawn", "spawn_guest"),
)


class Store:
    """One store of that size, whose dead host's instances are recovered one after the other."""

    def __init__(self, url: str, size: Size, *, closed: int, definitions: bool) -> None:
        migrate(url)
        self.services = open_services(url, NEVER_READ)
        self.services.fleet.load(fleet_of(size))
        self._ids = {each.name: each.id for each in self.services.views.instances()}
        fill(url, size, self._ids, closed=closed, definitions=definitions)
        self._waiting = iter(sorted(name for name in self._ids if name.startswith(f"{SOURCE}-")))
        self._count = 0
        self.statements = 0
        event.listen(self.services.database._engine, "before_cursor_execute", self._counted)

    def _counted(self, *_: object) -> None:
        self.statements += 1

    def measure(self, recoveries: int) -> tuple[float, float]:
        """Processor milliseconds and statements of one."""
        names = [next(self._waiting) for _ in range(recoveries)]
        self.statements, began = 0, time.process_time()
        for name in names:
            self._recover(name)
        return 1000 * (time.process_time() - began) / recoveries, self.statements / recoveries

    def _recover(self, name: str) -> None:
        self._count += 1
        world = World.__new__(World)
        world.services, world.id_of = self.services, self._ids.__getitem__  # type: ignore[method-assign]  # ids are known without a query
        recover(Evacuation(world, name, f"measured-{self._count}", "run"))


def recover(evacuation: Evacuation) -> None:
    """Every call that a recovery makes of the store, in its order; the check's own work is in it."""
    services, ref = evacuation.services, evacuation.ref
    check(EvacuationRequest(request_id="r", instance_id=ref.instance_id), evacuation.facts, can_fence=True)
    request = m.FenceRequest.model_validate(
        {"host": SOURCE, "incarnation": BOOT, "instance_id": ref.instance_id, "who": "benchmark", "evacuation_id": "r"}
    )
    assert services.evidence.open_fence(request) is not None
    evacuation.begin()
    to = services.capacity.claim(m.ClaimCapacity(ref=evacuation.at(1), target=None))
    connector = m.Connector(host=to.host, incarnation=BOOT)
    events = tuple(step(each, 1) for each in STEPS)
    services.store.record_preparation(m.RecordPreparation(ref=evacuation.at(1), connector=connector, events=events[:5]))
    evacuation.bind(1, to.host)
    evacuation.detach(1)
    evacuation.attach(1, to.host)
    message = m.AuthorizeSpawn(ref=evacuation.at(1), host=to.host, incarnation=BOOT, events=events[5:12])
    services.store.authorize_spawn(message)
    services.store.stored_definition(ref.instance_id)
    record_started = getattr(services.store, "record_start", None)
    if record_started is not None:
        record_started(evacuation.at(1))
    evacuation.finish(1, to.host, to.epoch)


@contextmanager
def databases(kind: str, number: int) -> Iterator[list[str]]:
    """URLs of so many empty databases."""
    with tempfile.TemporaryDirectory(prefix="evacuate-bench-", ignore_cleanup_errors=True) as temporary:
        directory = Path(temporary)
        if kind == "sqlite":
            yield [f"sqlite:///{directory / str(each)}.db" for each in range(number)]
            return
        with (
            postgres_server(directory / "data") as server,
            fresh_database(server) as one,
            fresh_database(server) as two,
        ):
            yield [one, two][:number]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.store", description=__doc__)
    parser.add_argument("--fleet", type=Size.parse, default=Size(500, 5000), help="HOSTSxINSTANCES")
    parser.add_argument("--against", type=Size.parse, help="another fleet, in turn with the first, nothing closed")
    parser.add_argument("--closed", type=int, default=0, help="evacuations that ended long ago")
    parser.add_argument("--definitions", action="store_true", help="instances and hosts as libvirt's")
    parser.add_argument("--pairs", type=int, default=5, help="rounds")
    parser.add_argument("--recoveries", type=int, default=4, help="in each round")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    asked = parse(arguments)
    sizes = [(asked.fleet, asked.closed)] + ([(asked.against, 0)] if asked.against else [])
    with databases(asked.database, len(sizes)) as urls:
        stores = [
            Store(url, size, closed=closed, definitions=asked.definitions)
            for url, (size, closed) in zip(urls, sizes, strict=True)
        ]
        for store in stores:
            store.measure(2)
        rounds = [[store.measure(asked.recoveries) for store in stores] for _ in range(asked.pairs)]
        for store in stores:
            store.services.close()
    found: dict[str, Any] = {}
    for (size, closed), measured in zip(sizes, zip(*rounds, strict=True), strict=True):
        ms = [round(each[0], 2) for each in measured]
        found[str(size)] = statistics.median(ms)
        line = {"fleet": str(size), "closed": closed, "definitions": asked.definitions, "database": asked.database}
        line |= {"cpu_ms": statistics.median(ms), "rounds": ms, "statements": measured[-1][1]}
        print(json.dumps(line), flush=True)
    if asked.against:
        pairs = [big[0] / small[0] for big, small in rounds]
        found["ratio"] = round(statistics.median(pairs), 3)
        print(json.dumps({"ratio": found["ratio"], "pairs": [round(each, 2) for each in pairs]}), flush=True)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
