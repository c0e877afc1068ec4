"""What the pre-flight of a host needs to know. Reads only."""

from collections.abc import Iterator, Sequence

from sqlmodel import Session, col, select

from evacuation import preflight as pre
from evacuation.errors import EvacuateError, RootDiskNotSharedError
from evacuation.messages import EvacuationRequest
from evacuation.ports import CheckFacts
from evacuation.remarks import notes_of_guest, notes_of_host
from evacuation.request import check
from evacuation.sizes import require_travels
from services.definitions.libvirt.definition import parse_definition
from services.definitions.libvirt.obstacles import why_not, why_nowhere
from services.sql.ledger.candidates import all_candidates
from services.sql.ledger.choosing import request_of
from services.sql.ledger.judging import Judge, Reports
from services.sql.read.facts import facts_of
from services.sql.rows import host_called
from services.sql.tables import HostRow, InstanceRow


def preflight(session: Session, host: str) -> tuple[pre.Preflight, ...]:
    """Of every instance that lives there, in the order of creation."""
    there = select(InstanceRow).where(InstanceRow.host == host).order_by(col(InstanceRow.position))
    reports, hosts = Reports(session), all_candidates(session)
    names = [each.name for each in hosts]
    subjects = [_subject(session, row, reports, names) for row in session.exec(there).all() if not row.gone]
    return pre.preflight(subjects, hosts)


def _subject(session: Session, instance: InstanceRow, reports: Reports, hosts: Sequence[str]) -> pre.Subject:
    facts = facts_of(session, instance, request_of(session, instance))
    unable = Judge(reports, instance, why_not).unable(hosts)
    return pre.Subject(
        instance_id=instance.id,
        name=instance.name,
        priority=instance.priority,
        placement=facts.placement.model_copy(update={"unable": unable}),
        obstacles=tuple(_obstacles(session, instance, facts)),
        notes=tuple(_notes(session, instance)),
    )


def _notes(session: Session, instance: InstanceRow) -> Iterator[str]:
    host = session.get(HostRow, instance.host) if instance.host else None
    if host is not None and host.capabilities is not None:
        yield from notes_of_guest(host.capabilities, instance.id)


def notes(session: Session, host: str) -> tuple[str, ...]:
    """Of the host and of every guest of ours that it has, whether it lives there or not."""
    row = session.get(HostRow, host_called(session, host))
    if row is None or row.capabilities is None:
        return ()
    said = row.capabilities
    guests = dict.fromkeys(each.id for each in (*said.autostarts, *said.domains))
    return (*notes_of_host(said), *(line for each in guests for line in notes_of_guest(said, each)))


def _obstacles(session: Session, instance: InstanceRow, facts: CheckFacts) -> Iterator[str]:
    """As the check of a request would say, and the guest's own definition."""
    if facts.open is not None:
        yield "it is being evacuated already"
        return
    if not instance.evacuate:
        yield f"it has evacuate: false, and must be named itself: evacuate instance evacuate {instance.name}"
    own = tuple(_of_definition(session, instance))
    refusal = _refusal(facts)
    if refusal is not None and not (own and isinstance(refusal, RootDiskNotSharedError)):
        yield refusal.line
    yield from own


def _refusal(facts: CheckFacts) -> EvacuateError | None:
    try:
        check(EvacuationRequest(request_id="", instance_id=facts.instance.id), facts, can_fence=True)
    except EvacuateError as error:
        return error
    return None


def _of_definition(session: Session, instance: InstanceRow) -> Iterator[str]:
    if instance.definition is None:
        return
    host = session.get(HostRow, instance.host) if instance.host else None
    try:
        require_travels(instance.definition)
        definition = parse_definition(instance.definition)
    except EvacuateError as error:
        yield error.line
        return
    said = host.capabilities if host else None
    for each in said.unreported if said else ():
        if each.id == instance.id:
            yield f"it would come back as it once was defined: {each.why}"
    for each in why_nowhere(definition, source=said):
        yield each.line
