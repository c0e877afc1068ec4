"""A compute host of the lab: PID, mount, UTS, IPC and network namespaces, with a libvirtd of its own inside.

SIGKILL of its PID 1 is the power button: the kernel ends libvirtd, every QEMU and the host's worker at once, and
nobody gets to flush or to clear up. What lies in its directory is its local disk and outlives that; its /run does not.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from tests.libvirt.lab.fabric import NETWORK, Fabric
from tests.libvirt.lab.shell import is_alive, run, until

PRIVATE = {
    "run": "/run/libvirt",
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
INIT = r"""
set -eu
name=$1 home=$2; shift 2
hostname "$name"
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
for pair; do mkdir -p "${pair#*:}"; mount --bind "$home/${pair%%:*}" "${pair#*:}"; done
"$home/daemon.sh"
while :; do sleep 3600 & wait $! || :; done
"""
DAEMON = """#!/bin/bash
rm -f /run/libvirt/libvirt-sock*
setsid libvirtd --listen --pid-file /run/libvirt/libvirtd.pid </dev/null >>/var/log/libvirt/libvirtd.out 2>&1 &
"""
LIBVIRTD = """host_uuid = "{uuid}"
listen_tls = {tls}
listen_tcp = 1
auth_tcp = "none"
listen_addr = "0.0.0.0"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
QEMU = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""


class LabHost:
    def __init__(self, name: str, octet: int, directory: Path, fabric: Fabric, *, tls: Path | None = None) -> None:
        """`tls`: a directory with ca.crt and NAME.crt, NAME.key for the daemon."""
        self.name = name
        self.home = directory / name
        self.address = f"{NETWORK}.{octet}"
        self.uuid = str(uuid.uuid4())
        self._fabric = fabric
        self._tls = tls
        self._init: int | None = None
        self._starter: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.home / "run" / "libvirt-sock"

    @property
    def uri(self) -> str:
        """From anywhere on the machine: sockets are files."""
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def tcp_uri(self) -> str:
        """From the lab's network only."""
        return f"qemu+tcp://{self.address}/system"

    @property
    def state_dir(self) -> Path:
        return self.home / "lib" / "evacuate"

    @property
    def proc(self) -> Path:
        """Its process table, from outside: those of other hosts are in theirs."""
        return self.home / "proc"

    @property
    def incarnation_file(self) -> Path:
        return self.home / "run" / "evacuate" / "incarnation"

    @property
    def init(self) -> int | None:
        """Its PID 1, as the machine knows it; None while it is off."""
        return self._init if self.is_on else None

    @property
    def is_on(self) -> bool:
        return self._init is not None and is_alive(self._init)

    def power_on(self) -> None:
        """Its libvirtd answers. On already: no change."""
        if self.is_on:
            return
        self._prepare_home()
        self._fabric.plug(self.name, "uplink")
        self._prepare_network()
        spaces = ("--mount", "--propagation", "private", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        binds = [f"{ours}:{theirs}" for ours, theirs in PRIVATE.items()]
        namespace = ("ip", "netns", "exec", self._fabric.namespace(self.name))
        command = [*namespace, "unshare", *spaces, "bash", "-c", INIT, f"lab-{self.name}", self.name, str(self.home)]
        with (self.home / "init.log").open("ab") as log:
            self._starter = subprocess.Popen(
                [*command, *binds], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(self._find_init, f"the init of {self.name}", within=20)
        self.proc.unlink(missing_ok=True)
        self.proc.symlink_to(f"/proc/{self._init}/root/proc")
        self.wait_for_libvirtd()

    def power_off(self) -> None:
        """Nothing of it runs any more. Off already: no change."""
        self._fabric.set_port(self.name, "down") if self.is_on else None
        if self._init is not None:
            with suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
        if self._starter is not None:
            self._starter.wait(30)
        self._init = self._starter = None

    def remove(self) -> None:
        self.power_off()
        self._fabric.unplug(self.name)

    def wait_for_libvirtd(self) -> None:
        until(self._accepts, f"libvirtd of {self.name} ({self.home / 'log'})", within=30)

    def start_libvirtd(self) -> None:
        self.run(str(self.home / "daemon.sh"))
        self.wait_for_libvirtd()

    def lose(self, guest: str) -> None:
        """libvirtd is started again, and what it kept of that guest while it ran has gone: the guest lives on."""
        self.signal_libvirtd(signal.SIGKILL)
        for kept in (f"{guest}.xml", f"{guest}.pid"):
            (self.home / "run" / "qemu" / kept).unlink()
        self.start_libvirtd()

    def signal_libvirtd(self, number: signal.Signals) -> None:
        """SIGKILL: QEMU and its guest live on. SIGSTOP: it accepts connections and answers nobody."""
        for pid in self.processes("libvirtd"):
            os.kill(pid, number)

    def partition(self) -> None:
        self._fabric.set_port(self.name, "down")

    def heal(self) -> None:
        self._fabric.set_port(self.name, "up")

    def processes(self, command: str | None = None) -> list[int]:
        """Pids, outside, of everything in the host, or of what has that (15 letters long) name."""
        if not self.is_on:
            return []
        mine = Path(f"/proc/{self._init}/ns/pid").readlink()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_in(pid, mine, command)]  # noqa: PTH208 (names alone: it is asked all the time)

    def guests(self) -> list[int]:
        """Pids of the QEMUs that are guests: libvirtd also starts some to ask what they can do."""
        return [pid for pid in self.processes("qemu-system-x86") if _is_guest(pid)]

    def guest_names(self) -> list[str]:
        """Of the guests that run, as QEMU was told them; twice, if two run."""
        return [name for pid in self.guests() if (name := _guest_name(pid)) is not None]

    def inside(self, *command: str, network: bool = True) -> list[str]:
        """The command as it is run in the host; without its network, in the machine's own."""
        assert self._init is not None, f"{self.name} is off"
        spaces = ["-m", "-u", "-i", "-p", *(["-n"] if network else [])]
        return ["nsenter", "-t", str(self._init), *spaces, "--", *command]

    def run(self, *command: str) -> str:
        return run(*self.inside(*command))

    def start(self, command: Sequence[str], *, log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        """A program of the host that speaks to the machine's loopback: its worker. The power button ends it too."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.inside(*command, network=False),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    def _prepare_home(self) -> None:
        shutil.rmtree(self.home / "run", ignore_errors=True)
        for each in (*PRIVATE, "lib/qemu", "lib/images", "lib/evacuate", "etc/qemu/networks", "log/qemu", "cache/qemu"):
            (self.home / each).mkdir(parents=True, exist_ok=True)
        tls = ""
        if self._tls:
            keys = {"key_file": f"{self.name}.key", "cert_file": f"{self.name}.crt", "ca_file": "ca.crt"}
            tls = "".join(f'{key} = "{self._tls / file}"\n' for key, file in keys.items())
        settings = LIBVIRTD.format(uuid=self.uuid, tls=1 if self._tls else 0)
        (self.home / "etc" / "libvirtd.conf").write_text(settings + tls)
        (self.home / "etc" / "qemu.conf").write_text(QEMU)
        (self.home / "daemon.sh").write_text(DAEMON)
        (self.home / "daemon.sh").chmod(0o755)

    def _prepare_network(self) -> None:
        inside = ("ip", "-n", self._fabric.namespace(self.name))
        run(*inside, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        run(*inside, "link", "set", "uplink", "master", "br0", "up")
        run(*inside, "addr", "add", f"{self.address}/24", "dev", "br0")
        run(*inside, "link", "set", "br0", "up")

    def _find_init(self) -> bool:
        """`ip netns exec` becomes unshare, whose one child is the host's PID 1."""
        assert self._starter is not None
        pid = self._starter.pid
        if self._starter.poll() is not None:
            raise RuntimeError(f"{self.name} does not start: {(self.home / 'init.log').read_text()[-2000:]}")
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "bash":
                self._init = int(children[0])
        return self._init is not None

    def _accepts(self) -> bool:
        with closing(socket.socket(socket.AF_UNIX)) as client:
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            return True


def _is_in(pid: int, namespace: Path, command: str | None) -> bool:
    with suppress(OSError):
        if Path(f"/proc/{pid}/ns/pid").readlink() != namespace or not is_alive(pid):
            return False
        return command is None or Path(f"/proc/{pid}/comm").read_text().strip() == command
    return False


def _is_guest(pid: int) -> bool:
    return _guest_name(pid) is not None


def _guest_name(pid: int) -> str | None:
    with suppress(OSError):
        found = re.search(r"guest=([^,\0]+)", Path(f"/proc/{pid}/cmdline").read_text())
        return found.group(1) if found else None
    return None
