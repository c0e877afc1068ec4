"""The NBD volume service on a small fleet: a real store, a real storage daemon, real clients."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evacuation import messages as m
from evacuation.fencing import FencingPolicy
from evacuation.fleet import Fleet
from evacuation.ports import Attachment
from services.cloud.nbd import Exports, Layout, NbdHosts, NbdStorageFence, NbdVolumes, StorageService
from services.sql import migrate, open_services
from tests.integration.sql.world import HOSTS, Evacuation, World, host, instance
from tests.volumes.client import Client, first_byte

FLEET = Fleet.model_validate(
    {
        "hosts": [host(name) for name in HOSTS],
        "volumes": [{"name": name, "size_gb": 1} for name in ("root-1", "data-1", "root-2")],
        "instances": [
            instance("web-01", root_disk="volume", volumes=["root-1", "data-1"]),
            instance("web-02", root_disk="volume", volumes=["root-2"]),
        ],
    }
)


class Ground:
    """web-01 (two volumes) and web-02 (one) run on cmp-1. `world.services.volumes` and `.hosts` are the service's."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        services = open_services(url, FencingPolicy.parse("1 of power, storage"))
        self.services = services
        self.exports = Exports(Layout.of(directory / "nbd", free_address()), services.exports, create=True)
        self.service = StorageService(self.exports)
        self.fence = NbdStorageFence(services.exports, self.exports)
        self._clients: list[Client] = []

    def start(self) -> None:
        self.service.look()
        self.services.volumes = NbdVolumes(self.services.volumes, self.services.exports, self.exports)  # type: ignore[assignment]  # the port
        self.services.hosts = NbdHosts(self.services.database, self.exports)
        self.world = World(self.services, FLEET)

    @property
    def layout(self) -> Layout:
        return self.exports.layout

    def attachment(self, volume: str) -> Attachment:
        """The one that is connected."""
        view = next(each for each in self.services.views.volumes() if each.name == volume)
        connected = next(each for each in view.attachments if each.status == "attached")
        found = self.services.volumes.attachment(connected.id)
        assert found is not None
        return found

    def target(self, volume: str) -> m.VolumeTarget:
        target = self.attachment(volume).target
        assert target is not None
        return target

    def image(self, volume: str) -> Path:
        return self.layout.image(self.attachment(volume).volume_id)

    def client(self, target: m.VolumeTarget, *, delay: int = 0) -> Client:
        log = self.directory / f"client-{len(self._clients)}.log"
        self._clients.append(Client(target, log, delay=delay))
        return self._clients[-1]

    def on_disk(self, volume_id: str) -> int:
        return first_byte(self.layout.image(volume_id))

    def request(self, name: str = "web-01", on: str = "cmp-1") -> m.FenceRequest:
        return m.FenceRequest(host=on, incarnation="boot-1", instance_id=self.world.id_of(name))

    def ready(self, name: str = "web-01") -> Evacuation:
        """An evacuation to cmp-2 that has claimed its place there: cmp-1 is off, if nothing else proves it."""
        if self.world.evacuation(name).proof is None:
            self.world.fence()
        evacuation = self.world.evacuation(name)
        evacuation.begin()
        evacuation.claim()
        evacuation.prepare()
        return evacuation

    def evidence_of(self, name: str, on: str = "cmp-1") -> set[str]:
        """The kinds of all that proves its guest there over."""
        proof = self.services.evidence.current_evidence(on, "boot-1", self.world.id_of(name))
        return {str(each.kind) for each in (proof, *proof.also)} if proof else set()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.service.stop()
        self.services.close()


@contextmanager
def ground(directory: Path) -> Iterator[Ground]:
    url = f"sqlite:///{directory / 'store.db'}"
    migrate(url)
    made = Ground(directory, url)
    try:
        made.start()
        yield made
    finally:
        made.close()


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"
