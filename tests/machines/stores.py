"""A store with the machines' fleet, every host up and every guest running, copied for each example."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

from services.sql import migrate, open_services
from tests.machines.cloud import Cloud
from tests.machines.fleet import FLEET, HOSTS
from tests.machines.metal import Metal
from tests.support.postgres import copied_database, fresh_database

Fresh = Callable[[], AbstractContextManager[str]]


def boot_all(cloud: Cloud) -> None:
    for host in HOSTS:
        cloud.metal.boot(host)
        assert cloud.return_host(host)


def prepare(url: str) -> None:
    migrate(url)
    services = open_services(url)
    services.fleet.load(FLEET)
    boot_all(Cloud(services, Metal(HOSTS)))
    services.close()


@contextmanager
def on_sqlite(directory: Path) -> Iterator[Fresh]:
    original, numbers = directory / "original.db", count()
    prepare(f"sqlite:///{original}")

    @contextmanager
    def fresh() -> Iterator[str]:
        copy = directory / f"copy-{next(numbers)}.db"
        shutil.copy(original, copy)
        yield f"sqlite:///{copy}"
        for path in directory.glob(f"{copy.name}*"):
            path.unlink()

    yield fresh


@contextmanager
def on_postgres(server: str) -> Iterator[Fresh]:
    with fresh_database(server) as original:
        prepare(original)
        yield lambda: copied_database(server, original)
