"""Does one piece of work on volumes and is killed at a point of it:
python -m tests.volumes.victim DIRECTORY ADDRESS STORE move|revoke FUNCTION before|after"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from evacuation import messages as m
from evacuation.fencing import FencingPolicy
from services.cloud.nbd import Exports, Layout, NbdStorageFence, NbdVolumes
from services.sql import SqlServices, open_services
from tests.integration.sql.world import Evacuation


class Seen:
    """As much of a world as an evacuation that goes on needs."""

    def __init__(self, services: SqlServices) -> None:
        self.services = services

    def id_of(self, name: str) -> str:
        return self.services.views.resolve_instance(name)


def die_at(point: str, when: str) -> None:
    module, owner, name = point.rsplit(".", 2)
    cls = getattr(import_module(module), owner)
    whole = getattr(cls, name)

    def deadly(*args: Any, **more: Any) -> Any:
        if when == "after":
            whole(*args, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(cls, name, deadly)


def main() -> None:
    directory, address, store, work, point, when = sys.argv[1:]
    services = open_services(store, FencingPolicy.parse("1 of power, storage"))
    exports = Exports(Layout.of(Path(directory), address), services.exports, create=True)
    services.volumes = NbdVolumes(services.volumes, services.exports, exports)  # type: ignore[assignment]  # the port, not the class
    die_at(point, when)
    world = Seen(services)
    if work == "revoke":
        request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"))
        NbdStorageFence(services.exports, exports).revoke(request, lambda: None)
        return
    evacuation = Evacuation(world, "web-01", "ev-1", "run-1")  # type: ignore[arg-type]  # only its services are asked for
    evacuation.detach()
    evacuation.attach()


if __name__ == "__main__":
    main()
