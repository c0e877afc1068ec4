"""An operator, and the tools of one, who work on the fleet beside us and tell nobody: with virsh, and at a BMC."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from services.hypervisors.process.disk import runs
from tests.libvirt.lab.host import LabHost
from tests.libvirt.lab.shell import CommandError
from tests.libvirt.stack import LibvirtStack
from tests.libvirt.storage import DAEMON, StorageStack

BMC_REBOOTS_FOR = 3.0
LIES = 2
"""Answers in which a BMC says off of a machine that is on."""
SETTLES = 6.0
"""Seconds within which a guest that was moved has been reported by its new host."""


class Beside:
    def __init__(self, stack: LibvirtStack, chance: random.Random) -> None:
        self._stack = stack
        self._random = chance
        before: dict[str, Callable[[str], str]] = {
            "guest of the source migrated": lambda source: self._migrate(source),
            "autostart on the source": self._autostart,
            "guest of the source saved": self._save,
        }
        meanwhile: dict[str, Callable[[str], str]] = {
            "guest elsewhere migrated": lambda source: self._migrate(self._another(source)),
            "guest elsewhere redefined": lambda source: self._redefine(self._another(source)),
            "guest elsewhere destroyed": lambda source: self._destroy(self._another(source)),
            "guest elsewhere saved": lambda source: self._save(self._another(source)),
            "libvirtd elsewhere restarted": lambda source: self._restart_libvirtd(self._another(source)),
            "BMC of the source lies": self._lie,
            "BMC of the source reboots": self._reboot_bmc,
        }
        if isinstance(stack, StorageStack):
            meanwhile["storage daemon killed"] = lambda _: self._kill_storage_daemon()
        self._acts = before | meanwhile | {"nothing": lambda _: ""}
        self.before = tuple(before)
        """These are done while the source still lives; a guest that was moved is reported before it is lost."""
        self.names = tuple(self._acts)
        self._migrated: dict[str, tuple[int, str]] = {}

    def started_on(self, guest: str, epoch: int) -> str | None:
        """The host that a guest which was migrated takes itself to be on."""
        known = self._migrated.get(guest)
        return known[1] if known is not None and known[0] == epoch else None

    def do(self, name: str, source: str) -> str:
        """What was done to whom; empty: there was nothing to do it to."""
        return self._acts[name](source)

    def mend(self) -> list[str]:
        """As an operator would, who read what `check` says: guests that moved are told of, those that are off are
        started where they belong."""
        done: list[str] = []
        for each in self._stack.instances():
            on = [name for name, host in self._stack.lab.hosts.items() if each.name in host.guest_names()]
            if on and each.host not in on:
                self._stack.evacuate("instance", "moved", each.name)
                done.append(f"{each.name} moved")
            elif not on and each.host is not None and (each.vm_state, each.task_state) == ("active", None):
                # Its host's own return may be about to.
                with suppress(CommandError):
                    self._stack.lab.hosts[each.host].run("virsh", "-q", "start", each.name)
                    done.append(f"{each.name} started")
        return done

    def _another(self, source: str) -> str:
        """Whose guests nobody evacuates."""
        others = [name for name, host in self._stack.lab.hosts.items() if name != source and host.is_on]
        busy = [name for name in others if self._stack.lab.hosts[name].guests()]
        return self._random.choice(busy or others)

    def _guest(self, host: LabHost) -> str | None:
        names = sorted(host.guest_names())
        return self._random.choice(names) if names else None

    def _migrate(self, name: str) -> str:
        host = self._stack.lab.hosts[name]
        guest = self._guest(host)
        to = self._random.choice([each for each in self._stack.lab.hosts.values() if each is not host and each.is_on])
        if guest is None:
            return ""
        how = ("--live", "--persistent", "--unsafe", guest, to.tcp_uri, "--migrateuri", f"tcp://{to.address}")
        try:
            host.run("virsh", "-q", "migrate", *how)
        except CommandError as error:
            return f"{guest} does not migrate: {error}"
        last = runs(self._stack.journal(guest))[-1]
        self._migrated[guest] = (last.epoch, last.host)
        time.sleep(SETTLES)
        return f"{guest} from {name} to {to.name}"

    def _autostart(self, name: str) -> str:
        host = self._stack.lab.hosts[name]
        for guest in sorted(host.guest_names()):
            host.run("virsh", "-q", "autostart", guest)
        return name

    def _save(self, name: str) -> str:
        return self._on_one_of(name, "managedsave")

    def _destroy(self, name: str) -> str:
        return self._on_one_of(name, "destroy")

    def _redefine(self, name: str) -> str:
        host = self._stack.lab.hosts[name]
        guest = self._guest(host)
        if guest is None:
            return ""
        host.run(
            "sh", "-c", f"virsh dumpxml --inactive {guest} | sed 's#<memory #<title>mine</title>&#' > /run/mine.xml"
        )
        host.run("virsh", "-q", "define", "/run/mine.xml")
        return f"{guest} on {name}"

    def _on_one_of(self, name: str, command: str) -> str:
        host = self._stack.lab.hosts[name]
        guest = self._guest(host)
        if guest is None:
            return ""
        with suppress(CommandError):
            host.run("virsh", "-q", command, guest)
        return f"{guest} on {name}"

    def _restart_libvirtd(self, name: str) -> str:
        host = self._stack.lab.hosts[name]
        host.signal_libvirtd(signal.SIGTERM)
        time.sleep(1.0)
        host.signal_libvirtd(signal.SIGKILL)
        host.start_libvirtd()
        return name

    def _lie(self, name: str) -> str:
        assert self._stack.power is not None
        self._stack.power.lie(name, LIES)
        return name

    def _reboot_bmc(self, name: str) -> str:
        assert self._stack.power is not None
        self._stack.power.lose_bmc(name)
        time.sleep(BMC_REBOOTS_FOR)
        self._stack.power.restore_bmc(name)
        return name

    def _kill_storage_daemon(self) -> str:
        assert isinstance(self._stack, StorageStack)
        for pid in self._stack.daemons():
            self._stack.kill(pid)
        return DAEMON
