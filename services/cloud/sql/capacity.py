"""Allocations: two claims cannot oversubscribe a host.

A claim that read a host's generation takes it by compare-and-swap; one that lost reads everything again.
"""

from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import (
    CapacityNotYetError,
    NoValidHostError,
    PoisonousStartError,
    ResidenceNotProvenError,
    StoreUnavailableError,
)
from evacuation.model import Placement
from evacuation.placement import explain
from services.cloud.sql.allocations import Allocations
from services.sql.database import Database
from services.sql.ledger.candidates import Seen
from services.sql.ledger.choosing import choose
from services.sql.ledger.guard import lock, lock_undo, refuse_deleted, stale
from services.sql.ledger.losses import refuse_poison
from services.sql.ledger.source import refuse_yielded
from services.sql.refused import gone
from services.sql.rows import destination_of, write_migration
from services.sql.statements import add, change
from services.sql.tables import AttemptRow, EvacuationRow, InstanceRow, ResidenceRow

ROUNDS = 20


class SqlCapacity:
    """The port `Capacity`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, message: m.ClaimCapacity) -> m.Destination:
        try:
            return self._database.write(_claim, message)
        except (CapacityNotYetError, PoisonousStartError):
            self._database.write(_note_waiting, message.ref)
            raise

    def release(self, ref: m.AttemptRef) -> None:
        self._database.write(_release, ref)


def _claim(session: Session, message: m.ClaimCapacity) -> m.Destination:
    instance, evacuation = lock(session, message.ref)
    ahead = (message.ref.attempt - evacuation.attempt, evacuation.phase)
    if ahead == (0, m.AttemptPhase.FORWARD):
        refuse_deleted(instance)
        return _claimed(session, message.ref)
    if ahead != (1, m.AttemptPhase.UNDONE):
        raise stale(message.ref, f"attempt {evacuation.attempt} is {evacuation.phase}")
    refuse_deleted(instance)
    refuse_yielded(instance, evacuation)
    allocations = Allocations(session)
    host = _take_a_host(session, allocations, instance, message)
    allocations.move(instance.id, evacuation.migration_id, evacuation.source)
    return _write_claim(session, instance, evacuation, host, message.ref.attempt)


def _note_waiting(session: Session, ref: m.AttemptRef) -> None:
    """Nothing is claimed, and nothing is taken from the instance: should its source come back, it has the instance."""
    _, evacuation = lock(session, ref)
    if (ref.attempt - evacuation.attempt, evacuation.phase) == (1, m.AttemptPhase.UNDONE):
        change(session, evacuation, waits=True)


def _claimed(session: Session, ref: m.AttemptRef) -> m.Destination:
    attempt = session.get(AttemptRow, (ref.evacuation_id, ref.attempt))
    if attempt is None:
        raise gone(f"the record of attempt {ref.attempt} is gone")
    return destination_of(attempt)


def _take_a_host(session: Session, allocations: Allocations, instance: InstanceRow, message: m.ClaimCapacity) -> Seen:
    for _ in range(ROUNDS):
        choice = choose(session, instance, message.target, message.excluded)
        host = choice.host
        if host is None:
            raise _no_host(instance, message, choice.placement)
        refuse_poison(session, instance)
        if allocations.claim(instance.id, host.name, instance.on_host, read=host.generation):
            return host
    raise StoreUnavailableError("too many claims at once", remedy="try again")


def _no_host(
    instance: InstanceRow, message: m.ClaimCapacity, placement: Placement
) -> NoValidHostError | CapacityNotYetError:
    error = CapacityNotYetError if message.wait else NoValidHostError
    return error(f"no host fits {instance.name} ({explain(placement.rejected)})", hosts=placement.rejected)


def _write_claim(
    session: Session, instance: InstanceRow, evacuation: EvacuationRow, host: Seen, number: int
) -> m.Destination:
    change(session, instance, last_epoch=instance.last_epoch + 1)
    change(session, evacuation, attempt=number, phase=m.AttemptPhase.FORWARD, waits=False)
    attempt = AttemptRow(
        evacuation_id=evacuation.id,
        number=number,
        instance_id=instance.id,
        host=host.name,
        incarnation=host.incarnation,
        hypervisor_uuid=host.hypervisor_uuid,
        epoch=instance.last_epoch,
    )
    add(session, attempt)
    write_migration(session, evacuation, destination=host.name)
    return destination_of(attempt)


def _release(session: Session, ref: m.AttemptRef) -> None:
    instance, evacuation = lock_undo(session, ref)
    _refuse_unproven(session, ref)
    allocations = Allocations(session)
    allocations.drop(instance.id, but=evacuation.source)
    allocations.move(evacuation.migration_id, instance.id, evacuation.source)
    change(session, evacuation, phase=m.AttemptPhase.UNDONE)


def _refuse_unproven(session: Session, ref: m.AttemptRef) -> None:
    mine = (ResidenceRow.instance_id == ref.instance_id, ResidenceRow.evacuation_id == ref.evacuation_id)
    if session.exec(select(ResidenceRow).where(*mine, col(ResidenceRow.proof).is_(None))).first() is not None:
        raise ResidenceNotProvenError(f"the guest of attempt {ref.attempt} may run on its destination")
