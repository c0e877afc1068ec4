"""What the check of a request, and the placement, need to know. Reads only."""

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from evacuation.errors import InstanceNotFoundError, MalformedDefinitionError
from evacuation.messages import InstanceSnapshot, OpenEvacuation
from evacuation.model import Candidate, PlacementRequest, VmState
from evacuation.ports import CheckFacts
from evacuation.sizes import require_travels
from services.definitions.libvirt.definition import disk_files, parse_definition
from services.sql.hosts.sightings import seen_of
from services.sql.ledger.block_devices import mappings_of
from services.sql.ledger.choosing import choose
from services.sql.ledger.evidence import current_evidence
from services.sql.ledger.losses import losses_of
from services.sql.rows import open_evacuation
from services.sql.statements import execute
from services.sql.tables import EvacuationRow, HostRow, InstanceRow, ResidenceRow

_NAMES = select(HostRow.name)
_OTHERS = (
    select(InstanceRow.name)
    .join(ResidenceRow, col(ResidenceRow.instance_id) == col(InstanceRow.id))
    .where(
        col(ResidenceRow.host) == bindparam("host"),
        col(ResidenceRow.incarnation).is_not_distinct_from(bindparam("incarnation")),
        col(ResidenceRow.proof).is_(None),
        col(InstanceRow.id) != bindparam("but"),
    )
    .order_by(col(InstanceRow.position))
)


def check_facts(session: Session, instance_id: str, target: str | None = None) -> CheckFacts:
    instance = session.get(InstanceRow, instance_id)
    if instance is None:
        raise InstanceNotFoundError(f'there is no instance "{instance_id}"', remedy="see: evacuate instance list")
    choice = choose(session, instance, target)
    return facts_of(session, instance, choice.request, choice.hosts, _known(session, target))


def facts_of(
    session: Session,
    instance: InstanceRow,
    placement: PlacementRequest,
    hosts: tuple[Candidate, ...] = (),
    known_hosts: frozenset[str] = frozenset(),
) -> CheckFacts:
    source = session.get(HostRow, instance.host) if instance.host else None
    incarnation = source.incarnation if source else None
    running = open_evacuation(session, instance.id)
    return CheckFacts(
        instance=snapshot(instance).model_copy(update={"files": _files(session, instance)}),
        instance_deleted=instance.gone,
        source_incarnation=incarnation,
        source_uuid=source.hypervisor_uuid if source else None,
        evidence=current_evidence(session, source.name, incarnation, instance.id) if source else None,
        open=_open(running) if running else None,
        others_on_source=_others_on(session, source, instance.id) if source else (),
        placement=placement,
        hosts=hosts,
        known_hosts=known_hosts,
        seen=seen_of(session, instance.id),
        losses=losses_of(session, instance.id),
    )


def _known(session: Session, target: str | None) -> frozenset[str]:
    """Every host, if there is none of that name: the others are what could have been meant."""
    if target is None or session.get(HostRow, target) is not None:
        return frozenset({target} if target else ())
    return frozenset(execute(session, _NAMES).scalars().all())


def _open(row: EvacuationRow) -> OpenEvacuation:
    return OpenEvacuation(evacuation_id=row.id, owner=row.owner, wanted=row.wanted)


def snapshot(instance: InstanceRow) -> InstanceSnapshot:
    return InstanceSnapshot(
        id=instance.id,
        name=instance.name,
        project=instance.project,
        priority=instance.priority,
        source=instance.host or "",
        vm_state=instance.vm_state,
        task_state=instance.task_state,
        root_disk=instance.root_disk,
        flavor=instance.flavor,
        wanted=wanted(instance),
        last_evacuation_id=instance.last_evacuation_id,
        defined=instance.definition is not None,
    )


def _files(session: Session, instance: InstanceRow) -> tuple[str, ...]:
    """Of a definition that cannot be read, or travel, nothing: whoever is to start it says so."""
    if instance.definition is None:
        return ()
    try:
        require_travels(instance.definition)
        disks = parse_definition(instance.definition).disks
    except MalformedDefinitionError:
        return ()
    volumes = {row.device.removeprefix("/dev/") for row in mappings_of(session, instance.id)}
    return disk_files(disk for disk in disks if disk.target not in volumes)


def wanted(instance: InstanceRow) -> VmState:
    """active or stopped; for an instance in error, what it was to be before the error."""
    state = instance.wanted_vm_state if instance.vm_state is VmState.ERROR else instance.vm_state
    return VmState.STOPPED if state is VmState.STOPPED else VmState.ACTIVE


def _others_on(session: Session, source: HostRow, instance_id: str) -> tuple[str, ...]:
    there = {"host": source.name, "incarnation": source.incarnation, "but": instance_id}
    return tuple(execute(session, _OTHERS, **there).scalars().all())
