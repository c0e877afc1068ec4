"""The network between lab hosts: one switch, a client and a storage server, each a network namespace.

Nothing is made in the machine's own network namespace. Names begin with `ev<pid>x<n>-`, the pid of whoever made them:
so what a killed run left can be told from what runs.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from tests.libvirt.lab.shell import CommandError, is_alive, run

NETWORK = "10.77.0"
CLIENT, STORAGE = 100, 200
NAMESPACE = re.compile(r"ev(\d+)x\d+-\S+")


class Fabric:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.switch = self.namespace("sw")

    def namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def up(self) -> None:
        run("ip", "netns", "add", self.switch)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "sw0", "type", "bridge", "forward_delay", "0")
        self._ip("link", "set", "sw0", "up")
        for name, octet in (("cl", CLIENT), ("st", STORAGE)):
            self.plug(name, "eth0")
            inside = ("ip", "-n", self.namespace(name))
            run(*inside, "addr", "add", f"{NETWORK}.{octet}/24", "dev", "eth0")
            run(*inside, "link", "set", "eth0", "up")

    def plug(self, name: str, interface: str) -> None:
        """A fresh namespace whose `interface` hangs on the switch."""
        self.unplug(name)
        run("ip", "netns", "add", self.namespace(name))
        run("ip", "-n", self.namespace(name), "link", "set", "lo", "up")
        peer = ("peer", "name", interface, "netns", self.namespace(name))
        self._ip("link", "add", f"p-{name}", "type", "veth", *peer)
        self._ip("link", "set", f"p-{name}", "master", "sw0", "up")

    def unplug(self, name: str) -> None:
        with suppress(CommandError):
            self._ip("link", "del", f"p-{name}")
        with suppress(CommandError):
            run("ip", "netns", "del", self.namespace(name))

    def set_port(self, name: str, state: str) -> None:
        """`down`: the host is silent, as after a power loss or behind a dead switch; it sends no refusal either."""
        self._ip("link", "set", f"p-{name}", state)

    def forwarding(self) -> list[str]:
        """The switch's table: which address is behind which port."""
        return run("bridge", "-n", self.switch, "fdb", "show", "br", "sw0").splitlines()

    def client(self, *command: str, check: bool = True) -> str:
        return run("ip", "netns", "exec", self.namespace("cl"), *command, check=check)

    def answers(self, address: str) -> bool:
        """One ping from the client."""
        return ", 0% packet loss" in self.client("ping", "-n", "-c", "1", "-W", "1", address, check=False)

    def down(self) -> None:
        remove(self._prefix)

    def _ip(self, *words: str) -> None:
        run("ip", "-n", self.switch, *words)


def namespaces() -> Iterator[tuple[str, int]]:
    """Every namespace of a lab, with the pid of its maker."""
    for line in run("ip", "netns", "list").splitlines():
        match = NAMESPACE.match(line)
        if match:
            yield match.group(), int(match.group(1))


def remove(prefix: str) -> None:
    """Every namespace of that lab, and whatever runs in one."""
    for name, _ in list(namespaces()):
        if name.startswith(f"{prefix}-"):
            for pid in run("ip", "netns", "pids", name, check=False).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            run("ip", "netns", "del", name, check=False)


def sweep() -> None:
    """What labs left whose maker was killed."""
    for name, maker in list(namespaces()):
        if not is_alive(maker):
            remove(name.partition("-")[0])
