"""The part of libvirt-python that is used here, as types; the library itself is loaded when it is first needed.

Numbers are libvirt's own and part of its stable interface (libvirt-domain.h, virterror.h).
"""

import importlib
from enum import IntEnum, IntFlag
from typing import Any, Protocol, cast

from evacuation.errors import HypervisorUnableError


class Code(IntEnum):
    """virErrorNumber"""

    INTERNAL_ERROR = 1
    NO_SUPPORT = 3
    INVALID_ARG = 8
    OPERATION_FAILED = 9
    XML_ERROR = 27
    SYSTEM_ERROR = 38
    NO_DOMAIN = 42
    AUTH_FAILED = 45
    OPERATION_INVALID = 55
    CONFIG_UNSUPPORTED = 67
    ARGUMENT_UNSUPPORTED = 74
    NO_DOMAIN_METADATA = 80
    AGENT_UNRESPONSIVE = 86
    RESOURCE_BUSY = 87


FROM_RPC = 7
"""virErrorDomain: the connection itself failed."""


class State(IntEnum):
    """virDomainState"""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


PAUSED_STARTING_UP = 11
"""virDomainPausedReason: a create is under way."""


class Undefine(IntFlag):
    """virDomainUndefineFlagsValues. The guest's firmware variables and TPM state are its disks': they stay."""

    MANAGED_SAVE = 1
    SNAPSHOTS_METADATA = 2
    KEEP_NVRAM = 8
    CHECKPOINTS_METADATA = 16
    KEEP_TPM = 64


METADATA_ELEMENT = 2
AFFECT_LIVE, AFFECT_CONFIG = 1, 2
XML_SECURE, XML_INACTIVE = 1, 2


class Domain(Protocol):
    def UUIDString(self) -> str: ...
    def name(self) -> str: ...
    def state(self, flags: int = 0) -> list[int]: ...
    def isActive(self) -> int: ...
    def isPersistent(self) -> int: ...
    def XMLDesc(self, flags: int = 0) -> str: ...
    def metadata(self, type: int, uri: str, flags: int = 0) -> str: ...
    def setMetadata(self, type: int, metadata: str, key: str, uri: str, flags: int = 0) -> int: ...
    def create(self) -> int: ...
    def destroy(self) -> int: ...
    def undefineFlags(self, flags: int = 0) -> int: ...
    def suspend(self) -> int: ...
    def resume(self) -> int: ...
    def autostart(self) -> int: ...
    def setAutostart(self, autostart: int) -> int: ...


class Connection(Protocol):
    def isAlive(self) -> int: ...
    def close(self) -> int: ...
    def setKeepAlive(self, interval: int, count: int) -> int: ...
    def getLibVersion(self) -> int: ...
    def getCapabilities(self) -> str: ...
    def getDomainCapabilities(
        self, emulatorbin: str | None, arch: str | None, machine: str | None, virttype: str | None, flags: int = 0
    ) -> str: ...
    def lookupByUUIDString(self, uuid: str) -> Domain: ...
    def listAllDomains(self, flags: int = 0) -> list[Domain]: ...
    def defineXML(self, xml: str) -> Domain: ...


class LibvirtError(Protocol):
    """libvirt.libvirtError"""

    def get_error_code(self) -> int | None: ...
    def get_error_domain(self) -> int | None: ...
    def get_error_message(self) -> str | None: ...


def library(name: str = "libvirt") -> Any:
    """libvirt-python, or its module for QEMU (`libvirt_qemu`). Raises HypervisorUnableError when it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise HypervisorUnableError(
            f"libvirt-python cannot be loaded ({error})",
            remedy="install it: pip install 'evacuate[libvirt]' (needs libvirt's headers), or Debian's python3-libvirt",
        ) from error


def as_libvirt_error(error: BaseException) -> LibvirtError | None:
    """The error as libvirt's, if it is one."""
    return cast("LibvirtError", error) if hasattr(error, "get_error_code") else None
