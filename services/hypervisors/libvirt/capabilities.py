"""What a libvirt says that it can run, and what is there."""

from xml.etree import ElementTree

from evacuation.capabilities import HostCapabilities, SeenDomain
from evacuation.epochs import UNMARKED
from evacuation.errors import MalformedDefinitionError
from services.definitions.libvirt.definition import Disk, parse_definition
from services.definitions.libvirt.metadata import epoch_in
from services.hypervisors.libvirt.api import state_word
from services.hypervisors.libvirt.live_sources import named_instead
from services.hypervisors.libvirt.survey import LiveDomain, Survey, SurveyedDomain


def capabilities_of(survey: Survey) -> HostCapabilities:
    """What this libvirt cannot say stays unknown."""
    said = survey.domain_capabilities
    return HostCapabilities(
        hypervisor_version=dotted(survey.version),
        machines=machines_in(survey.capabilities) or None,
        cpu_models=cpu_models_in(said) if said is not None else None,
        networks=tuple(sorted(survey.networks)) if survey.networks is not None else None,
        domains=tuple(sorted(map(seen_domain, survey.domains), key=lambda each: each.id)),
    )


def seen_domain(domain: LiveDomain) -> SeenDomain:
    written = _written(domain.live)
    surveyed = domain if isinstance(domain, SurveyedDomain) else None
    return SeenDomain(
        id=domain.id,
        name=domain.name,
        active=domain.active,
        epoch=epoch_in(domain.mark) if domain.mark else UNMARKED,
        state=state_word(domain.state, domain.reason),
        disks=None if written is None else tuple(each.source for each in written),
        shareable=tuple(each.source for each in written or () if each.shareable),
        named=_named(surveyed) if surveyed is not None else None,
        autostart=surveyed and surveyed.autostart,
        managed_save=surveyed and surveyed.managed_save,
    )


def _named(domain: SurveyedDomain) -> tuple[str, ...] | None:
    try:
        return named_instead(domain.definition, domain.live)
    except MalformedDefinitionError:
        return None


def _written(live: str | None) -> tuple[Disk, ...] | None:
    """By a guest that runs; None: nobody can read what libvirt says of it."""
    try:
        disks = parse_definition(live).disks if live is not None else None
    except MalformedDefinitionError:
        return None
    return disks if disks is None else tuple(each for each in disks if not each.read_only and not each.is_empty)


def dotted(version: int) -> str:
    """As people write libvirt's own counting."""
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


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
