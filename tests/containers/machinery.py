"""What happens to containers and their network, by the engine's own interface."""

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.models.containers import Container
from docker.models.networks import Network

LABEL = "com.docker.compose"
MOST_TAKEN = 6


class Containers:
    """The containers of one compose project, by the names of their services."""

    def __init__(self, client: docker.DockerClient, project: str) -> None:
        self._client = client
        self._project = project
        self._left: dict[str, str] = {}

    def of(self, service: str) -> Container:
        labels = [f"{LABEL}.project={self._project}", f"{LABEL}.service={service}", f"{LABEL}.oneoff=False"]
        return self._client.containers.list(all=True, filters={"label": labels})[0]

    def hostname(self, service: str) -> str:
        return self.of(service).attrs["Config"]["Hostname"]

    def address(self, service: str) -> str:
        """Empty while it is not connected."""
        return self._address_of(self.of(service))

    def pause(self, service: str) -> None:
        """Every process of it stands still; its connections stay open, and nobody answers on them."""
        self.of(service).pause()

    def unpause(self, service: str) -> None:
        self.of(service).unpause()

    def kill(self, service: str) -> None:
        self.of(service).kill()

    def start(self, service: str) -> None:
        self.of(service).start()

    def cut(self, service: str) -> None:
        """It lives on, and nobody reaches it: no packet is answered, not even by a refusal."""
        self._left[service] = self.address(service)
        self._network.disconnect(self.of(service))

    def join(self, service: str) -> None:
        self._network.connect(self.of(service), aliases=[service])

    def join_elsewhere(self, service: str) -> None:
        """Under an address that it did not have: what it had open before is lost, and nobody is told."""
        with self._taken(self._left[service]):
            self.join(service)
        assert self.address(service) not in ("", self._left[service])

    def move(self, service: str) -> None:
        """Killed, and started under another address: its name is all that stays."""
        before = self.address(service)
        self.kill(service)
        with self._taken(before):
            self.start(service)
        assert self.address(service) not in ("", before)

    def settle(self, service: str) -> None:
        """Whatever was done to it is undone."""
        container = self.of(service)
        if container.status == "paused":
            container.unpause()
        if self._network.name not in container.attrs["NetworkSettings"]["Networks"]:
            self.join(service)
        container.start()

    def execute(self, service: str, *command: str) -> str:
        """A command inside it, which needs no network."""
        done = self.of(service).exec_run(list(command))
        assert done.exit_code == 0, done.output
        return done.output.decode()

    def execute_detached(self, service: str, *command: str) -> None:
        self.of(service).exec_run(list(command), detach=True)

    @contextmanager
    def _taken(self, address: str) -> Iterator[None]:
        """Somebody else has the address. An engine gives the lowest that is free, so that those below it, of whatever
        is dead, are taken too; one that counts on instead never comes back to it."""
        others: list[Container] = []
        try:
            while len(others) < MOST_TAKEN and address not in [self._address_of(other) for other in others]:
                others.append(self._idle())
            yield
        finally:
            for other in others:
                other.remove(force=True)

    def _idle(self) -> Container:
        image = self.of("control").image
        other = self._client.containers.run(
            image, ["600"], entrypoint=["sleep"], network=self._network.name, detach=True
        )
        other.reload()
        return other

    def _address_of(self, container: Container) -> str:
        seen = container.attrs["NetworkSettings"]["Networks"].get(self._network.name, {})
        return seen.get("IPAddress", "")

    @property
    def _network(self) -> Network:
        return self._client.networks.get(f"{self._project}_default")
