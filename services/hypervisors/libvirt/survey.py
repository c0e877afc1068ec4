"""A host and its domains as libvirt has them now. Only reads."""

from evacuation.errors import MalformedDefinitionError
from evacuation.messages import StoredDefinition
from evacuation.model import Frozen
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.definition import parse_definition
from services.hypervisors.libvirt.failures import unavailable


class SurveyedDomain(Frozen):
    """`definition` is what it is started from the next time, without secrets; `state` is virDomainState."""

    id: str
    name: str
    state: int
    active: bool
    definition: str


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
        found = connection.reading("survey", kind)
    except LibvirtError as error:
        raise unavailable(error, host=host) from error
    domains = [each | {"id": each["uuid"].lower()} for each in found["domains"]]
    return Survey.model_validate(found | {"domains": sorted(domains, key=lambda each: each["name"])})


def stored_of(domain: SurveyedDomain) -> StoredDefinition | None:
    """None: nobody can make anything of it."""
    try:
        signal = parse_definition(domain.definition).signal
    except MalformedDefinitionError:
        return None
    return StoredDefinition(definition=domain.definition, signal=signal)
