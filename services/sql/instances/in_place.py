"""An instance starts, or stops, on the host that it is on: the old guest is proven gone before the new one may come.

The guard is the epoch. What was destroyed is named by the last epoch that was given, and every start gives a new one,
so that a late call of a run that was replaced finds another."""

from sqlmodel import Session

from evacuation import messages as m
from evacuation.errors import (
    EvacuationRunningError,
    HostDownError,
    InstanceChangedError,
    InstanceNotFoundError,
    ResidenceNotProvenError,
    StaleAttemptError,
    VmStateError,
)
from evacuation.model import HostState, PortStatus, PowerState, TaskState, VmState
from evacuation.transitions import EVACUABLE
from services.sql.hosts.sightings import refuse_misplaced
from services.sql.instances.deleting import own_answer
from services.sql.instances.holdings import bind_ports
from services.sql.ledger.guard import refuse_deleted
from services.sql.ledger.position import require_asked, require_sound
from services.sql.ledger.unproven import unproven
from services.sql.rows import lock_host, lock_instance, open_evacuation, unproven_residence
from services.sql.tables import HostRow, InstanceRow, ResidenceRow

TASKS = {VmState.ACTIVE: TaskState.POWERING_ON, VmState.STOPPED: TaskState.POWERING_OFF}
POWER = {VmState.ACTIVE: PowerState.RUNNING, VmState.STOPPED: PowerState.SHUTDOWN}


def plan_in_place(session: Session, instance_id: str) -> m.InPlacePlan:
    """Read-only. Raises a Refusal, ResidenceNotProvenError."""
    require_sound(session)
    instance = session.get(InstanceRow, instance_id)
    if instance is None or instance.gone:
        raise InstanceNotFoundError(f"instance {instance.name if instance else instance_id} is deleted")
    _refuse(session, instance)
    host = _host_in_service(session, instance)
    refuse_misplaced(session, instance, but=host.name)
    residence = unproven_residence(session, instance_id)
    if residence is not None and residence.host != host.name:
        raise ResidenceNotProvenError(
            f"{instance.name} may run on {residence.host}, and is recorded on {host.name}",
            remedy=f"prove {residence.host} empty first",
        )
    return m.InPlacePlan(
        host=host.name,
        hypervisor_uuid=host.hypervisor_uuid,
        incarnation=host.incarnation or "",
        epoch=instance.last_epoch,
        residence_epoch=residence.epoch if residence else None,
        vm_state=instance.vm_state,
        busy=instance.task_state in TASKS.values(),
    )


def _refuse(session: Session, instance: InstanceRow) -> None:
    if open_evacuation(session, instance.id) is not None:
        raise EvacuationRunningError(
            f"an evacuation of {instance.name} is open, and decides where it runs",
            remedy=f"let it end; if nobody runs it, ask again: evacuate instance evacuate {instance.name}",
        )
    if instance.vm_state not in EVACUABLE:
        raise VmStateError(
            f"{instance.name} is {instance.vm_state}: only active, stopped and error instances are started and stopped",
            remedy="reset its state first",
        )


def _host_in_service(session: Session, instance: InstanceRow) -> HostRow:
    host = session.get_one(HostRow, instance.host)
    if host.state is not HostState.UP or host.incarnation is None:
        raise HostDownError(
            f"{host.name} is down: nothing starts or stops there",
            remedy=f"bring {host.name} back, or evacuate it: evacuate instance evacuate {instance.name}",
        )
    return host


def authorize_in_place(session: Session, message: m.AuthorizeInPlace) -> ResidenceRow:
    """The old residence is proven by its host's own answer, and the new one given, in one transaction. Again: the
    same, until its end is recorded. Raises StaleAttemptError and others: somebody else has to do with the instance
    meanwhile."""
    guest = message.guest
    instance = lock_instance(session, guest.instance_id)
    require_asked(session)
    require_sound(session, *message.witnessed)
    refuse_deleted(instance)
    _refuse(session, instance)
    _refuse_elsewhere(session, instance, guest)
    refuse_misplaced(session, instance, but=guest.host)
    residence = unproven_residence(session, instance.id)
    if residence is None or residence.evacuation_id != message.owner:
        residence = _move_in(session, instance, residence, message)
        instance.task_state = TASKS[message.vm_state]
    elif instance.task_state is not TASKS[message.vm_state]:
        raise StaleAttemptError(f"the end of this start or stop of {instance.name} is recorded already")
    if message.vm_state is VmState.STOPPED:
        # Its host has said that it is down.
        _settle(instance, VmState.STOPPED, PowerState.SHUTDOWN)
    bind_ports(session, instance.id, guest.host, PortStatus.ACTIVE)
    return residence


def _refuse_elsewhere(session: Session, instance: InstanceRow, guest: m.HostGuest) -> None:
    if instance.host != guest.host:
        raise InstanceChangedError(f"{instance.name} lives on {instance.host}, not on {guest.host}")
    host = lock_host(session, guest.host)
    if host.state is not HostState.UP or host.incarnation != guest.incarnation:
        raise StaleAttemptError(f"{host.name} went down, or booted again, meanwhile")


def _move_in(
    session: Session, instance: InstanceRow, old: ResidenceRow | None, message: m.AuthorizeInPlace
) -> ResidenceRow:
    guest = message.guest
    if instance.last_epoch != guest.epoch or (old is not None and old.host != guest.host):
        raise StaleAttemptError(f"a newer guest of {instance.name} was given meanwhile")
    if old is not None:
        old.proof = own_answer(session, old, guest)
        if old.proof is None:
            raise unproven(session, instance.name, old.host, old.incarnation)
        session.flush()
    instance.last_epoch += 1
    new = ResidenceRow(
        instance_id=instance.id,
        epoch=instance.last_epoch,
        host=guest.host,
        incarnation=guest.incarnation,
        evacuation_id=message.owner,
    )
    session.add(new)
    session.flush()
    return new


def record_in_place(session: Session, message: m.RecordInPlace) -> None:
    """The end of a start or stop. Raises StaleAttemptError: another guest was given since."""
    guest = message.guest
    instance = lock_instance(session, guest.instance_id)
    refuse_deleted(instance)
    residence = unproven_residence(session, guest.instance_id)
    if residence is None or (residence.host, residence.epoch) != (guest.host, guest.epoch):
        raise StaleAttemptError(f"a newer guest of {instance.name} was given meanwhile")
    if open_evacuation(session, instance.id) is not None:
        raise StaleAttemptError(f"{instance.name} is being evacuated")
    if message.vm_state is None:
        instance.power_state = message.power_state
    else:
        _settle(instance, message.vm_state, message.power_state)
    instance.task_state = None


def _settle(instance: InstanceRow, vm_state: VmState, power_state: PowerState) -> None:
    instance.vm_state, instance.power_state = vm_state, power_state
    instance.fault, instance.wanted_vm_state = None, None
