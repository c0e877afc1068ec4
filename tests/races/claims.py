"""A dead host whose instances do not all fit elsewhere, and claims for them from many threads and processes."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier

from evacuation import messages as m
from evacuation.errors import NoValidHostError, StoreUnavailableError
from evacuation.fleet import Fleet
from services.sql import SqlServices, open_services
from tests.integration.sql.world import Evacuation, World, host, instance

NO_HOST = "NoValidHostError"


def crowd(services: SqlServices, instances: int, *, fit: int, hosts: int = 3) -> World:
    """`instances` of one vcpu on cmp-0, which is fenced; `fit` of them fit on the others."""
    names = [f"cmp-{n}" for n in range(1, hosts + 1)]
    room = [fit // hosts + (n < fit % hosts) for n in range(hosts)]
    dead = host("cmp-0", vcpus=instances, memory_mb=512 * instances, disk_gb=instances)
    rows = [host(n, vcpus=r, memory_mb=512 * instances, disk_gb=instances) for n, r in zip(names, room, strict=True)]
    lost = [instance(f"vm-{n:03d}", "cmp-0") for n in range(instances)]
    world = World(services, Fleet.model_validate({"hosts": [dead, *rows], "instances": lost}))
    world.fence("cmp-0")
    return world


def begin_all(world: World, instances: int) -> list[Evacuation]:
    evacuations = [world.evacuation(f"vm-{n:03d}", f"ev-{n:03d}") for n in range(instances)]
    for each in evacuations:
        each.begin()
    return evacuations


def claim(services: SqlServices, ref: m.AttemptRef) -> str:
    """The host, or the error's name. What is only busy is asked again, as Temporal does."""
    while True:
        try:
            return services.capacity.claim(m.ClaimCapacity(ref=ref, target=None)).host
        except NoValidHostError as error:
            assert error.hosts, "each host is named, and why it does not do"
            return NO_HOST
        except StoreUnavailableError:
            time.sleep(0.1)


def claim_all(services: SqlServices, refs: Sequence[m.AttemptRef]) -> list[str]:
    with ThreadPoolExecutor(len(refs)) as pool:
        return list(pool.map(lambda ref: claim(services, ref), refs))


together: Barrier | None = None


def meet(barrier: Barrier) -> None:
    """Initialises a process: it begins when all others are there."""
    global together
    together = barrier


def claim_in_process(url: str, refs: Sequence[m.AttemptRef]) -> list[str]:
    services = open_services(url)
    try:
        assert together is not None
        together.wait(timeout=60)
        return claim_all(services, refs)
    finally:
        services.close()
