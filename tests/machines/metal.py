"""Hosts in memory: their power, their boots, and in each boot the product's own simulated hypervisor.

No lock on disks: a second copy of a guest is to be seen, not prevented here."""

from collections.abc import Callable, Iterator

from evacuation import messages as m
from evacuation.errors import CutOverError, FenceFailedError
from evacuation.invariants import SeenGuest
from evacuation.model import PowerState
from services.hypervisors.simulated.driver import SimulatedHypervisor


class Boot(SimulatedHypervisor):
    """One boot of a host. Guests and tombstones end with it."""

    def __init__(self, host: str, number: int) -> None:
        super().__init__(host)
        self._incarnation = f"{host}-boot-{number}"

    @property
    def incarnation(self) -> str:
        return self._incarnation


class Metal:
    """The fencing driver, and what it cuts. `serving`: hosts whose own queue is served; the others are silent."""

    kind = "metal"

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._boots = dict.fromkeys(hosts, 0)
        self.on: dict[str, Boot] = {}
        self.serving: set[str] = set()
        self.stuck: set[str] = set()
        """Hosts whose power cannot be cut just now."""
        self.unread: set[str] = set()
        """Hosts whose power cannot even be read."""

    def kind_of(self, host: str) -> str:
        return self.kind

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self._boots)

    def boot(self, host: str) -> Boot:
        self.unread.discard(host)
        self._boots[host] += 1
        self.on[host] = Boot(host, self._boots[host])
        return self.on[host]

    def kill(self, host: str) -> None:
        self.on.pop(host, None)
        self.serving.discard(host)

    def is_able(self, host: str) -> bool:
        return True

    def is_off(self, host: str) -> bool:
        if host in self.unread:
            raise FenceFailedError(f"the power of {host} cannot be read")
        return host not in self.on

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        return self.is_off(host)

    def doubt_about(self, host: str) -> str | None:
        return None

    def boot_of(self, host: str) -> str | None:
        return self.on[host].incarnation if host in self.on else None

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        if host in self.stuck:
            raise FenceFailedError(f"the power of {host} cannot be cut")
        if boot is not None and not self.is_alive(host, boot) and host in self.on:
            raise CutOverError(f"{host} has booted again since")
        last_look()
        self.kill(host)

    def is_alive(self, host: str, incarnation: str | None) -> bool:
        return host in self.on and self.on[host].incarnation == incarnation

    def report(self, host: str) -> m.HostReport:
        boot = self.on[host]
        identity = boot.identity()
        return m.HostReport(host=host, **identity.model_dump(), guests=boot.inventory())

    def boots(self) -> dict[str, str | None]:
        return {host: self.on[host].incarnation if host in self.on else None for host in self._boots}

    def guests(self) -> Iterator[SeenGuest]:
        """The guests that have a process: not those that are only defined."""
        for host, boot in sorted(self.on.items()):
            for guest in boot.inventory():
                if guest.power_state is PowerState.RUNNING:
                    yield SeenGuest(
                        host=host,
                        incarnation=boot.incarnation,
                        instance_id=guest.instance_id,
                        epoch=guest.epoch,
                        pid=0,
                        writes=not guest.paused,
                    )
