"""A host and its domains as libvirt has them now. Only reads."""

from contextlib import suppress

from evacuation.epochs import UNMARKED
from evacuation.errors import HypervisorUnavailableError, MalformedDefinitionError, SignalPatternError
from evacuation.messages import StoredDefinition
from evacuation.model import Frozen
from evacuation.sizes import MARK_ROOM, require_small
from services.definitions.libvirt.definition import Definition, parse_definition
from services.definitions.libvirt.names import NAMESPACE
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.failures import unavailable
from services.hypervisors.libvirt.live_sources import as_it_runs
from services.hypervisors.libvirt.patterns import require_sound


class LiveDomain(Frozen):
    """`live` is what runs, without secrets; `state` and `reason` are virDomainState and its reason; `mark` is of what
    runs, if it runs."""

    id: str
    name: str
    state: int
    reason: int = 0
    active: bool
    live: str | None = None
    mark: str | None = None


class SurveyedDomain(LiveDomain):
    """`definition` is what it is started from the next time, without secrets."""

    definition: str
    autostart: bool | None = None
    managed_save: bool | None = None


class Survey(Frozen):
    """`capabilities` and `domain_capabilities` are libvirt's XML; None: it cannot say."""

    hostname: str
    vcpus: int
    memory_mb: int
    version: int
    capabilities: str
    domain_capabilities: str | None
    networks: tuple[str, ...] | None
    domains: tuple[SurveyedDomain, ...]


def survey_of(connection: LibvirtConnection, kind: str, *, host: str) -> Survey:
    """For domains of that type (kvm, qemu). Raises HypervisorUnableError, HypervisorUnavailableError."""
    try:
        found = connection.reading("survey", kind, NAMESPACE)
    except LibvirtError as error:
        raise unavailable(error, host=host) from error
    domains = [each | {"id": each["uuid"].lower()} for each in found["domains"]]
    return Survey.model_validate(found | {"domains": sorted(domains, key=lambda each: each["name"])})


def live_domains(connection: LibvirtConnection, *, host: str) -> tuple[LiveDomain, ...]:
    """Those that are active, by id. Raises HypervisorUnableError, HypervisorUnavailableError."""
    try:
        found = connection.reading("live", NAMESPACE)
    except LibvirtError as error:
        raise unavailable(error, host=host) from error
    domains = (LiveDomain.model_validate(each | {"id": each["uuid"].lower()}) for each in found)
    return tuple(sorted((each for each in domains if each.active), key=lambda each: each.id))


def followed(domain: SurveyedDomain) -> Definition:
    """Read, small enough to be kept (what carries our mark already may be larger by that), and its signal can be looked
    for. Raises MalformedDefinitionError."""
    definition = parse_definition(domain.definition)
    require_small(domain.definition, room=MARK_ROOM if definition.epoch != UNMARKED else 0)
    _require_signal(definition)
    return definition


def _require_signal(definition: Definition) -> None:
    """What nobody has the time to judge now is judged on the host that is to look for it."""
    try:
        with suppress(HypervisorUnavailableError):
            require_sound(definition.signal_line or "")
    except SignalPatternError as error:
        raise MalformedDefinitionError(
            f"the definition's signal is of no use: {error.message}", remedy=error.remedy
        ) from error


def stored_of(domain: SurveyedDomain) -> StoredDefinition:
    """As it would go on elsewhere. Raises MalformedDefinitionError: nobody can make anything of it, or it is too large
    to travel."""
    return StoredDefinition(definition=as_it_runs(domain.definition, domain.live), signal=followed(domain).signal)
