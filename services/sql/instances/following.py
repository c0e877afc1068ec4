"""A residence goes where its guest went: somebody has migrated it, and its old host has it no more."""

from typing import NamedTuple

from sqlmodel import Session, col, or_, select

from evacuation import messages as m
from evacuation.epochs import has_mark_of
from evacuation.errors import EvacuationRunningError, InstanceNotFoundError, NotMovedError
from evacuation.model import Evidence, HostState, PowerState, VmState
from services.cloud.sql.allocations import Allocations
from services.sql.hosts.sightings import forget, hosts_of
from services.sql.ledger.endings import settle_on
from services.sql.ledger.evidence import revoked_attachments, usable_evidence
from services.sql.ledger.guard import refuse_deleted
from services.sql.ledger.position import require_sound
from services.sql.ledger.proofs import gone_from
from services.sql.rows import (
    lock_host,
    lock_hosts,
    lock_instance,
    note_start,
    open_evacuation,
    questions,
    unproven_residence,
)
from services.sql.statements import change
from services.sql.tables import AttachmentRow, HostRow, InstanceRow, ResidenceRow

ASK_AGAIN = "ask again"
STARTED = (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR)
"""A guest that runs makes these active. Every other one is somebody's own business."""


class _Seen(NamedTuple):
    report: m.HostReport
    guest: m.GuestState


def plan_follow(session: Session, instance_id: str) -> m.FollowPlan:
    """Hosts that are up, the one where it is recorded, and those where it was seen."""
    require_sound(session)
    instance = session.get(InstanceRow, instance_id)
    if instance is None or instance.gone:
        raise InstanceNotFoundError(f"instance {instance.name if instance else instance_id} is deleted")
    residence = _require_at_rest(session, instance)
    asked = {residence.host, *hosts_of(session, instance_id)}
    hosts = questions(session, or_(HostRow.state == HostState.UP, col(HostRow.name).in_(asked)))
    return m.FollowPlan(residence=_named(residence), hosts=hosts)


def follow(session: Session, message: m.FollowInstance) -> None:
    instance = lock_instance(session, message.residence.instance_id)
    require_sound(session)
    refuse_deleted(instance)
    if _was_followed(session, instance, message):
        return
    residence = _require_at_rest(session, instance)
    if _named(residence) != message.residence:
        raise NotMovedError(f"the residence of {instance.name} changed meanwhile", remedy=ASK_AGAIN)
    Allocations(session)
    lock_hosts(session, residence.host, *(each.host for each in message.reports))
    to = _one_place(session, instance, residence, message)
    proof = _proof(session, instance, residence, to, message)
    move(session, instance, residence, to=(to.report.host, to.report.incarnation), proof=proof)


def move(
    session: Session, instance: InstanceRow, residence: ResidenceRow, *, to: tuple[str, str | None], proof: Evidence
) -> None:
    """The guest keeps its mark, and so its residence: that is on another host from now on, with all that the instance
    holds. The place that it has left is kept with what proves it empty."""
    host, incarnation = to
    change(session, residence, host=host, incarnation=incarnation, moved_from=[*(residence.moved_from or ()), proof])
    note_start(session, residence, PowerState.RUNNING)
    settle_on(session, residence, f"moved/{instance.id}/{residence.epoch}/{len(residence.moved_from or ())}")
    allocations = Allocations(session)
    allocations.drop(instance.id, but=host)
    allocations.resize(instance.id, host, instance.on_host)
    started = VmState.ACTIVE if instance.vm_state in STARTED else instance.vm_state
    change(
        session,
        instance,
        host=host,
        vm_state=started,
        power_state=PowerState.RUNNING,
        task_state=None,
        fault=None,
        wanted_vm_state=None,
    )
    forget(session, instance.id, host)


def _require_at_rest(session: Session, instance: InstanceRow) -> ResidenceRow:
    if open_evacuation(session, instance.id) is not None:
        raise EvacuationRunningError(
            f"an evacuation of {instance.name} is open, and decides where it runs",
            remedy=f"end it first: evacuate instance cancel {instance.name}; if nobody runs it, let a new run do that:"
            f" evacuate instance evacuate {instance.name}",
        )
    residence = unproven_residence(session, instance.id)
    if residence is None:
        raise NotMovedError(
            f"every place of {instance.name} was proven empty: no guest that may run has a residence",
            remedy=f"stop what runs of it, then start it again: evacuate instance start {instance.name}",
        )
    return residence


def _was_followed(session: Session, instance: InstanceRow, message: m.FollowInstance) -> bool:
    """By an execution before this one, to where its guest was found."""
    asked, now = message.residence, unproven_residence(session, instance.id)
    if now is None or now.epoch != asked.epoch or not now.moved_from:
        return False
    left, here = now.moved_from[-1], (now.host, now.incarnation)
    if (asked.host, asked.incarnation) != (left.host, left.incarnation or ""):
        return False
    found = [(each.host, each.incarnation) for each in message.reports if any(_runs(g, instance) for g in each.guests)]
    return here in found and here != (asked.host, asked.incarnation)


def _one_place(session: Session, instance: InstanceRow, residence: ResidenceRow, message: m.FollowInstance) -> _Seen:
    """The only one that runs, where it may be taken over."""
    running = [_Seen(report, guest) for report in message.reports for guest in report.guests if _runs(guest, instance)]
    places = " and on ".join(f"{each.report.host} (epoch {each.guest.epoch})" for each in running)
    if not running:
        raise _nowhere(instance.name, residence, message)
    if len(running) > 1:
        raise NotMovedError(
            f"{instance.name} runs on {places}: two copies, or a migration that goes on",
            remedy="wait for the migration's end, or stop all but one; then ask again",
        )
    found = running[0]
    _refuse_place(session, instance, residence, found)
    return found


def _nowhere(name: str, residence: ResidenceRow, message: m.FollowInstance) -> NotMovedError:
    answers = any(each.host == residence.host for each in message.reports)
    again = f"evacuate instance {'start' if answers else 'evacuate'} {name}"
    return NotMovedError(
        f"no host that answers has {name} running",
        remedy=f"if it was migrated, have the worker of that host started, and ask again; if it runs nowhere: {again}",
    )


def _runs(guest: m.GuestState, instance: InstanceRow) -> bool:
    return guest.instance_id == instance.id and guest.power_state is PowerState.RUNNING


def _refuse_place(session: Session, instance: InstanceRow, residence: ResidenceRow, found: _Seen) -> None:
    host, name = lock_host(session, found.report.host), instance.name
    if (host.name, found.report.incarnation) == (residence.host, residence.incarnation):
        raise NotMovedError(f"{name} runs on {host.name}, where it is recorded", remedy="there is nothing to do")
    if host.state is not HostState.UP or host.incarnation != found.report.incarnation:
        raise NotMovedError(f"{name} runs on {host.name}, which is not in service", remedy="wait until it is up")
    if not has_mark_of(residence.epoch, found.guest.epoch):
        raise NotMovedError(
            f"{name} runs on {host.name} with the mark of epoch {found.guest.epoch}, and the guest that may run is of "
            f"epoch {residence.epoch}: it is a copy",
            remedy=f"stop it on {host.name}; then start {name} where it belongs",
        )
    if found.guest.paused:
        raise NotMovedError(
            f"{name} is paused on {host.name}: its migration has not ended, or somebody has suspended it",
            remedy=f"resume it there (virsh resume {name}), or stop it there; then ask again",
        )
    if _has_lost_its_disks(session, residence):
        raise NotMovedError(
            f"the disks of {name} were taken away for good: what runs on {host.name} writes nothing any more",
            remedy=f"stop it on {host.name}; then evacuate it: evacuate instance evacuate {name}",
        )


def _has_lost_its_disks(session: Session, residence: ResidenceRow) -> bool:
    mine = select(AttachmentRow.id).where(AttachmentRow.instance_id == residence.instance_id)
    return not revoked_attachments(session, residence.host).isdisjoint(session.exec(mine).all())


def _proof(
    session: Session, instance: InstanceRow, residence: ResidenceRow, to: _Seen, message: m.FollowInstance
) -> Evidence:
    """Of the place where it was: its host has answered in the same breath, and has it no more; or evidence."""
    answer = next((each for each in message.reports if each.host == residence.host), None)
    if answer is not None and answer.incarnation == residence.incarnation:
        return gone_from(residence, answer.host, f"its own worker has it no more; {to.report.host} has it")
    proof = usable_evidence(session, residence.host, residence.incarnation, instance.id)
    if proof is None:
        raise NotMovedError(
            f"{residence.host}, where {instance.name} is recorded, does not answer, and nothing proves it off",
            remedy=f"bring it back, or have it switched off: evacuate host down {residence.host} --power-off",
        )
    return proof


def _named(residence: ResidenceRow) -> m.HostGuest:
    return m.HostGuest(
        host=residence.host,
        incarnation=residence.incarnation or "",
        instance_id=residence.instance_id,
        epoch=residence.epoch,
    )
