"""A process that speaks to libvirt for the worker: one call at a time, to be killed at any moment.

Run as a program with a URI; it needs the standard library and libvirt-python alone. Its first line says how the
opening went, every further one answers a request: `{"do": name, "with": [...]}` is answered by `{"result": ...}` or
`{"error": {"code": ..., "domain": ..., "message": ...}}`. It ends when its standard input does, whatever hangs.
"""

import importlib
import json
import os
import queue
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

NO_DOMAIN, NO_METADATA, OPERATION_INVALID, INVALID_ARG = 42, 80, 55, 8
AGENT_SILENT = (86, OPERATION_INVALID)
MISSING = -1
"""In place of a code: libvirt-python is not installed."""
METADATA_ELEMENT, LIVE, CONFIG, SECURE, INACTIVE = 2, 1, 2, 1, 2
WITH_STATES, KEEP_NVRAM, CHECKPOINTS, KEEP_TPM = 1 | 2, 8, 16, 64
"""What libvirt saved of it, and its snapshots' metadata."""
KEEP_TPM_SINCE = 8_009_000
FORCE_BOOT = 8
AGENT_TIMEOUT = 2
ACTIVE_NETWORKS, ACTIVE_DOMAINS = 2, 1
FROM_RPC = 7
ALL_PROCESSORS = -1


class Operations:
    """What can be asked for. A uuid that no domain has is answered by None, or is as good as done."""

    def __init__(self, libvirt: Any, connection: Any) -> None:
        self._libvirt = libvirt
        self._connection = connection

    def version(self) -> int:
        return self._connection.getLibVersion()

    def is_in_sight(self) -> bool | None:
        """Whether the process at the other end is in this one's process table. None: there is none on this machine."""
        seen = [pid > 0 and _is_readable(pid) for pid in peers()]
        return all(seen) if seen else None

    def capabilities(self) -> str:
        return self._connection.getCapabilities()

    def domain_capabilities(self, machine: str | None, kind: str) -> str:
        return self._connection.getDomainCapabilities(None, None, machine, kind)

    def survey(self, kind: str, namespace: str) -> dict[str, Any]:
        """The host and every domain's definition, without secrets. What this driver cannot say is None."""
        _, memory_mb, vcpus, *_ = self._connection.getInfo()
        return {
            "hostname": self._connection.getHostname(),
            "memory_mb": memory_mb,
            "vcpus": vcpus,
            "version": self._connection.getLibVersion(),
            "capabilities": self._connection.getCapabilities(),
            "domain_capabilities": self._if_known(lambda: self.domain_capabilities(None, kind)),
            "networks": self._if_known(
                lambda: [each.name() for each in self._connection.listAllNetworks(ACTIVE_NETWORKS)]
            ),
            "domains": [
                each
                for domain in self._connection.listAllDomains()
                if (each := self._surveyed(domain, namespace)) is not None
            ],
        }

    def machine(self) -> dict[str, Any]:
        """Whose libvirt it is. `times`: nanoseconds that all processors have spent since the boot."""
        return {
            "hostname": self._connection.getHostname(),
            "times": self._if_known(lambda: self._connection.getCPUStats(ALL_PROCESSORS)),
            "capabilities": self._connection.getCapabilities(),
        }

    def live(self, namespace: str) -> list[dict[str, Any]]:
        """Every domain that is active, and what it runs with, without secrets."""
        found = (self._live(domain, namespace) for domain in self._connection.listAllDomains(ACTIVE_DOMAINS))
        return [each for each in found if each is not None]

    def all(self, namespace: str) -> list[dict[str, Any]]:
        found = (self._seen(domain, namespace) for domain in self._connection.listAllDomains())
        return [each for each in found if each is not None]

    def find(self, uuid: str, namespace: str) -> dict[str, Any] | None:
        domain = self._lookup(uuid)
        return self._seen(domain, namespace) if domain is not None else None

    def definition(self, uuid: str) -> str | None:
        """Secrets included."""
        domain = self._lookup(uuid)
        return domain.XMLDesc(SECURE | INACTIVE) if domain is not None else None

    def live_definition(self, uuid: str) -> str | None:
        """Of what runs, without secrets."""
        domain = self._lookup(uuid)
        return domain.XMLDesc(0) if domain is not None and domain.isActive() else None

    def define(self, xml: str) -> None:
        domain = self._connection.defineXML(xml)
        if domain.autostart():
            domain.setAutostart(0)

    def mark(self, uuid: str, text: str, prefix: str, namespace: str) -> None:
        domain = self._connection.lookupByUUIDString(uuid)
        flags = (LIVE if domain.isActive() else 0) | (CONFIG if domain.isPersistent() else 0)
        domain.setMetadata(METADATA_ELEMENT, text, prefix, namespace, flags)

    def autostart(self, uuid: str) -> bool:
        domain = self._lookup(uuid)
        return domain is not None and domain.isPersistent() and bool(domain.autostart())

    def set_autostart(self, uuid: str, on: bool) -> None:
        domain = self._connection.lookupByUUIDString(uuid)
        if domain.isPersistent() and bool(domain.autostart()) is not on:
            domain.setAutostart(int(on))

    def create(self, uuid: str) -> None:
        """Running or starting, by this call or meanwhile by another."""
        domain = self._connection.lookupByUUIDString(uuid)
        try:
            self._create(domain)
        except self._libvirt.libvirtError:
            if not domain.isActive():
                raise

    def drop_saved_state(self, uuid: str) -> bool:
        """Whether there was one: memory and definition of an earlier guest, which a start would bring back."""
        domain = self._lookup(uuid)
        if domain is None or not domain.isPersistent() or not self._if_known(domain.hasManagedSaveImage):
            return False
        domain.managedSaveRemove()
        return True

    def destroy(self, uuid: str) -> None:
        domain = self._lookup(uuid)
        if domain is not None and domain.isActive():
            self._unless(domain.destroy, OPERATION_INVALID, NO_DOMAIN)

    def undefine(self, uuid: str) -> None:
        """The guest's firmware variables and TPM state are as its disks: they stay."""
        domain = self._lookup(uuid)
        if domain is not None and domain.isPersistent():
            self._unless(lambda: self._undefine(domain), NO_DOMAIN)

    def suspend(self, uuid: str) -> None:
        self._connection.lookupByUUIDString(uuid).suspend()

    def resume(self, uuid: str) -> None:
        self._connection.lookupByUUIDString(uuid).resume()

    def agent_answers(self, uuid: str) -> bool:
        module, command = importlib.import_module("libvirt_qemu"), json.dumps({"execute": "guest-ping"})
        try:
            answer = module.qemuAgentCommand(self._connection.lookupByUUIDString(uuid), command, AGENT_TIMEOUT, 0)
            return "return" in json.loads(answer)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() in AGENT_SILENT:
                return False
            raise

    def monitor(self, uuid: str, command: str) -> str:
        """A QMP command, as JSON."""
        module = importlib.import_module("libvirt_qemu")
        return module.qemuMonitorCommand(self._connection.lookupByUUIDString(uuid), command, 0)

    def _live(self, domain: Any, namespace: str) -> dict[str, Any] | None:
        """None: it went away between two looks."""
        seen = self._seen(domain, namespace)
        try:
            return seen and seen | {"live": domain.XMLDesc(0) if seen["active"] else None}
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == NO_DOMAIN:
                return None
            raise

    def _surveyed(self, domain: Any, namespace: str) -> dict[str, Any] | None:
        """None: it went away between two looks."""
        live = self._live(domain, namespace)
        try:
            persistent = live is not None and bool(domain.isPersistent())
            return live and live | {
                "definition": domain.XMLDesc(INACTIVE),
                "autostart": persistent and self._if_known(lambda: bool(domain.autostart())),
                "managed_save": persistent and self._if_known(lambda: bool(domain.hasManagedSaveImage())),
            }
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == NO_DOMAIN:
                return None
            raise

    def _if_known(self, ask: Callable[[], Any]) -> Any:
        """What a driver does not support, or cannot run, it does not know."""
        try:
            return ask()
        except self._libvirt.libvirtError as error:
            if error.get_error_domain() == FROM_RPC:
                raise
            return None

    def _lookup(self, uuid: str) -> Any:
        try:
            return self._connection.lookupByUUIDString(uuid)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == NO_DOMAIN:
                return None
            raise

    def _seen(self, domain: Any, namespace: str) -> dict[str, Any] | None:
        """None: it went away between two looks."""
        try:
            state, reason = domain.state()
            return {
                "uuid": domain.UUIDString(),
                "name": domain.name(),
                "state": state,
                "reason": reason,
                "active": bool(domain.isActive()),
                "mark": self._mark(domain, namespace),
            }
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == NO_DOMAIN:
                return None
            raise

    def _mark(self, domain: Any, namespace: str) -> str | None:
        """Of what runs, if it runs."""
        try:
            return domain.metadata(METADATA_ELEMENT, namespace)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == NO_METADATA:
                return None
            raise

    def _create(self, domain: Any) -> None:
        """From its definition, and never from what was saved. A driver that cannot resume does not know the flag."""
        try:
            domain.createWithFlags(FORCE_BOOT)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() != INVALID_ARG:
                raise
            domain.create()

    def _undefine(self, domain: Any) -> None:
        """A driver that has no such things to keep does not know the flags."""
        flags = WITH_STATES | KEEP_NVRAM | CHECKPOINTS
        if self._connection.getLibVersion() >= KEEP_TPM_SINCE:
            flags |= KEEP_TPM
        try:
            domain.undefineFlags(flags)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() != INVALID_ARG:
                raise
            domain.undefineFlags(WITH_STATES)

    def _unless(self, do: Callable[[], object], *fine: int) -> None:
        """An error that says that nothing was left to do is none."""
        try:
            do()
        except self._libvirt.libvirtError as error:
            if error.get_error_code() not in fine:
                raise


def peers() -> Iterator[int]:
    """Pids of those at the other ends of this process' UNIX sockets; 0: not in its PID namespace. It has none but
    libvirt's; who listens for a daemon that is started on demand stands for it."""
    for descriptor in filter(Path.is_socket, Path("/proc/self/fd").iterdir()):
        with suppress(OSError), socket.socket(fileno=os.dup(int(descriptor.name))) as end:
            if end.family == socket.AF_UNIX and end.getpeername():
                yield struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def _is_readable(pid: int) -> bool:
    with suppress(OSError):
        return bool(Path("/proc", str(pid), "cmdline").read_bytes())
    return False


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def error_of(error: Any) -> dict[str, Any]:
    code, domain = error.get_error_code(), error.get_error_domain()
    return {"error": {"code": code, "domain": domain, "message": error.get_error_message() or str(error)}}


def read_requests(requests: "queue.Queue[str]") -> None:
    """The worker's end, or its wish that this process ends, is heeded also while a call hangs."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def serve(libvirt: Any, uri: str) -> None:
    libvirt.registerErrorHandler(_ignore, None)
    try:
        operations = Operations(libvirt, libvirt.open(uri))
        say({"result": operations.version()})
    except libvirt.libvirtError as error:
        say(error_of(error))
        return
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=read_requests, args=(requests,), daemon=True).start()
    while True:
        request = json.loads(requests.get())
        try:
            say({"result": getattr(operations, request["do"])(*request["with"])})
        except libvirt.libvirtError as error:
            say(error_of(error))


def _ignore(*_: object) -> None:
    """Errors are answered; libvirt would print them as well."""


def main() -> None:
    try:
        libvirt = importlib.import_module("libvirt")
    except ImportError as error:
        say({"error": {"code": MISSING, "domain": 0, "message": str(error)}})
        return
    serve(libvirt, sys.argv[1])


if __name__ == "__main__":
    main()
