"""How an evacuation ends: one transaction each, recovered or not."""

from sqlmodel import Session

from evacuation import messages as m
from evacuation.errors import StaleAttemptError
from evacuation.model import MigrationStatus, PortStatus, VmState
from services.cloud.sql.allocations import Allocations
from services.cloud.sql.volumes import drop_unmapped, hold_on_destination
from services.sql.instances.holdings import bind_ports, drop_other_bindings, remove_instance
from services.sql.ledger.actions import write_events
from services.sql.ledger.block_devices import mappings_of
from services.sql.ledger.guard import find, is_closed_by, require_forward, stale
from services.sql.ledger.retention import prune
from services.sql.read.facts import wanted
from services.sql.rows import note_start, write_migration
from services.sql.statements import add, change, write
from services.sql.tables import ActionRow, EvacuationRow, InstanceRow, ResidenceRow, utc_now


def finish(session: Session, message: m.FinishEvacuation) -> None:
    """The last transaction; the start is recorded before."""
    found = find(session, message.ref)
    if is_closed_by(found[1], message.ref, outcome="recovered"):
        return
    instance, evacuation = require_forward(found, message.ref, m.AttemptPhase.STARTED)
    residence = _verified_residence(session, message)
    note_start(session, residence, message.power_state)
    settle_on(session, residence, f"{evacuation.id}/{evacuation.attempt}/finish")
    drop_unmapped(session, instance.id, evacuation.id)
    Allocations(session).drop(evacuation.migration_id)
    change(
        session,
        instance,
        host=message.host,
        vm_state=message.vm_state,
        power_state=message.power_state,
        task_state=None,
        fault=None,
        wanted_vm_state=None,
    )
    close(session, evacuation, MigrationStatus.DONE, message.outcome)
    write_events(session, evacuation, message.events)


def abandon(session: Session, message: m.AbandonEvacuation) -> None:
    """An evacuation that never began is closed too, so that its `begin` comes too late."""
    instance, evacuation = find(session, message.ref)
    if is_closed_by(evacuation, message.ref):
        return
    if evacuation is None:
        _bar(session, instance, message)
    else:
        _abandon(session, instance, evacuation, message)
    if message.deleted:
        remove_instance(session, instance)


def _verified_residence(session: Session, message: m.FinishEvacuation) -> ResidenceRow:
    residence = session.get(ResidenceRow, (message.ref.instance_id, message.epoch))
    if residence is None or residence.host != message.host or residence.proof is not None:
        raise StaleAttemptError(f"no guest of epoch {message.epoch} lives on {message.host}")
    return residence


def settle_on(session: Session, residence: ResidenceRow, name: str) -> None:
    """Ports and volumes are read again: the guest has started, and somebody may have taken one of them away."""
    bind_ports(session, residence.instance_id, residence.host, PortStatus.ACTIVE)
    drop_other_bindings(session, residence.instance_id, residence.host)
    here = m.Connector(host=residence.host, incarnation=residence.incarnation or "")
    for mapping in mappings_of(session, residence.instance_id):
        hold_on_destination(session, mapping, f"{name}/{mapping.volume_id}", here)


def _abandon(session: Session, instance: InstanceRow, evacuation: EvacuationRow, message: m.AbandonEvacuation) -> None:
    if evacuation.phase is m.AttemptPhase.CLOSED or evacuation.owner != message.ref.owner:
        raise stale(message.ref, "another run has taken it over")
    if evacuation.phase is not m.AttemptPhase.UNDONE or evacuation.attempt > message.ref.attempt:
        raise stale(message.ref, f"attempt {evacuation.attempt} is {evacuation.phase}")
    _restore(session, instance, evacuation, message)
    close(session, evacuation, message.migration_status, message.outcome)
    write_events(session, evacuation, message.events)


def _restore(session: Session, instance: InstanceRow, evacuation: EvacuationRow, message: m.AbandonEvacuation) -> None:
    if evacuation.yielded_to is not None:
        # Its source has it again, and has said since how it is.
        change(session, instance, task_state=None)
        return
    change(
        session,
        instance,
        task_state=None,
        fault=message.fault or instance.fault,
        vm_state=message.vm_state or evacuation.vm_state_before,
        wanted_vm_state=evacuation.wanted if message.vm_state is VmState.ERROR else instance.wanted_vm_state,
    )


def _bar(session: Session, instance: InstanceRow, message: m.AbandonEvacuation) -> None:
    add(
        session,
        EvacuationRow(
            id=message.ref.evacuation_id,
            instance_id=instance.id,
            owner=message.ref.owner,
            phase=m.AttemptPhase.CLOSED,
            request_id="",
            migration_id=message.ref.evacuation_id,
            source=instance.host or message.outcome.source or "",
            vm_state_before=instance.vm_state,
            task_state_before=instance.task_state,
            wanted=wanted(instance),
            outcome=message.outcome,
            started_at=message.outcome.started_at,
            closed_at=utc_now(),
        ),
    )


def close(session: Session, evacuation: EvacuationRow, status: MigrationStatus, outcome: m.EvacuationOutcome) -> None:
    now = utc_now()
    write_migration(session, evacuation, status=status)
    write(session, ActionRow, {"evacuation_id": evacuation.id}, finished_at=now)
    change(session, evacuation, phase=m.AttemptPhase.CLOSED, outcome=outcome, closed_at=now)
    prune(session)
