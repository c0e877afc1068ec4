"""What a libvirt says that it can run, and what is there."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, cast
from xml.etree import ElementTree

from evacuation.capabilities import HostCapabilities, SeenDomain
from services.hypervisors.libvirt.api import Code, Connection, Domain, as_libvirt_error
from services.hypervisors.libvirt.connection import dotted
from services.hypervisors.libvirt.failures import code_of, has_lost_connection

ACTIVE_NETWORKS = 2
"""virConnectListAllNetworksFlags"""
Answer = TypeVar("Answer")


class Network(Protocol):
    def name(self) -> str: ...


class Host(Connection, Protocol):
    """More of libvirt-python's virConnect."""

    def getHostname(self) -> str: ...
    def getInfo(self) -> list[Any]: ...
    def listAllNetworks(self, flags: int = 0) -> list[Network]: ...


def as_host(connection: Connection) -> Host:
    return cast("Host", connection)


def capabilities_of(connection: Connection, kind: str) -> HostCapabilities:
    """For domains of that type (kvm, qemu). What this libvirt cannot say stays unknown. Raises libvirt's errors."""
    host = as_host(connection)
    machines = machines_in(host.getCapabilities())
    return HostCapabilities(
        libvirt_version=dotted(host.getLibVersion()),
        machines=machines or None,
        cpu_models=_cpu_models(host, kind),
        networks=_networks(host),
        domains=tuple(sorted(seen_domains(host.listAllDomains()), key=lambda each: each.id)),
    )


def machines_in(capabilities: str) -> dict[str, tuple[str, ...]]:
    """By architecture, aliases and the types behind them; architectures without any are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for arch in ElementTree.fromstring(capabilities).findall("guest/arch"):
        named = [name for each in arch.iter("machine") for name in (each.text, each.get("canonical")) if name]
        if named:
            found[arch.get("name", "")] = tuple(sorted(set(named)))
    return found


def cpu_models_in(domain_capabilities: str) -> tuple[str, ...] | None:
    """That a domain may name; None: it is not said."""
    mode = ElementTree.fromstring(domain_capabilities).find("cpu/mode[@name='custom']")
    if mode is None:
        return None
    return tuple(sorted(each.text or "" for each in mode.findall("model") if each.get("usable") != "no"))


def seen_domains(domains: Sequence[Domain]) -> list[SeenDomain]:
    """One that went away between two looks is not there."""
    return [found for found in map(_seen, domains) if found is not None]


def _seen(domain: Domain) -> SeenDomain | None:
    try:
        return SeenDomain(id=domain.UUIDString(), name=domain.name(), active=bool(domain.isActive()))
    except Exception as error:
        if code_of(error) == Code.NO_DOMAIN:
            return None
        raise


def _cpu_models(host: Host, kind: str) -> tuple[str, ...] | None:
    said = _if_known(lambda: host.getDomainCapabilities(None, None, None, kind))
    return cpu_models_in(said) if said is not None else None


def _networks(host: Host) -> tuple[str, ...] | None:
    return _if_known(lambda: tuple(sorted(each.name() for each in host.listAllNetworks(ACTIVE_NETWORKS))))


def _if_known(ask: Callable[[], Answer]) -> Answer | None:
    """What a driver does not support, or cannot run, it does not know."""
    try:
        return ask()
    except Exception as error:
        if as_libvirt_error(error) is None or has_lost_connection(error):
            raise
        return None
