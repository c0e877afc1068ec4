"""Allocations: two claims cannot oversubscribe a host.

A claim that read a host's generation takes it by compare-and-swap; one that lost reads everything again.
"""

from sqlalchemy import bindparam, update
from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.errors import CapacityNotYetError, NoValidHostError, ResidenceNotProvenError, StoreUnavailableError
from evacuation.model import Placement
from evacuation.placement import explain, place
from services.sql.database import Database
from services.sql.facts import all_hosts, candidates, placement_request
from services.sql.guard import lock, lock_undo, refuse_deleted, stale
from services.sql.rows import destination_of, write_migration
from services.sql.statements import add, change, execute, table_of
from services.sql.tables import (
    AllocationRow,
    AttemptRow,
    EvacuationRow,
    HostRow,
    InstanceRow,
    LoadedFleet,
    ResidenceRow,
)

ROUNDS = 20
_TURN = select(LoadedFleet.id).with_for_update(key_share=True)
_HOSTS, _ALLOCATIONS = table_of(HostRow).c, table_of(AllocationRow).c
_SWAP = (
    update(table_of(HostRow))
    .where(_HOSTS.name == bindparam("host"), _HOSTS.generation == bindparam("read"))
    .values(generation=_HOSTS.generation + 1)
)
_MOVE = (
    update(table_of(AllocationRow))
    .where(_ALLOCATIONS.consumer_id == bindparam("from_consumer"), _ALLOCATIONS.host == bindparam("on_host"))
    .values(consumer_id=bindparam("to_consumer"))
)


class SqlCapacity:
    """The port `Capacity`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, message: m.ClaimCapacity) -> m.Destination:
        return self._database.write(_claim, message)

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
    _take_turn(session)
    host = _take_a_host(session, instance, message)
    return _write_claim(session, instance, evacuation, host, message.ref.attempt)


def _take_turn(session: Session) -> None:
    """Claims choose one after the other. The generations alone would do for one host's capacity; but of many that
    lose at once only one gets on, and members of a server group may choose different hosts at the same time."""
    execute(session, _TURN).first()


def _claimed(session: Session, ref: m.AttemptRef) -> m.Destination:
    attempt = session.get(AttemptRow, (ref.evacuation_id, ref.attempt))
    assert attempt is not None, "a forward attempt has made its claim"
    return destination_of(attempt)


def _take_a_host(session: Session, instance: InstanceRow, message: m.ClaimCapacity) -> HostRow:
    asked = {"target": message.target, "excluded": message.excluded}
    for _ in range(ROUNDS):
        hosts = {host.name: host for host in all_hosts(session)}
        request = placement_request(session, instance).model_copy(update=asked)
        placement = place(request, candidates(session, hosts.values()))
        if not placement.chosen:
            raise _no_host(instance, message, placement)
        host = hosts[placement.chosen[0]]
        if _take_generation(session, host):
            return host
    raise StoreUnavailableError("too many claims at once", remedy="try again")


def _take_generation(session: Session, host: HostRow) -> bool:
    return execute(session, _SWAP, host=host.name, read=host.generation).rowcount == 1


def _no_host(
    instance: InstanceRow, message: m.ClaimCapacity, placement: Placement
) -> NoValidHostError | CapacityNotYetError:
    error = CapacityNotYetError if message.wait else NoValidHostError
    return error(f"no host fits {instance.name} ({explain(placement.rejected)})", hosts=placement.rejected)


def _write_claim(
    session: Session, instance: InstanceRow, evacuation: EvacuationRow, host: HostRow, number: int
) -> m.Destination:
    change(session, instance, last_epoch=instance.last_epoch + 1)
    change(session, evacuation, attempt=number, phase=m.AttemptPhase.FORWARD)
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
    _move(session, instance.id, evacuation.migration_id, evacuation.source)
    add(session, AllocationRow(consumer_id=instance.id, host=host.name, **dict(instance.flavor)))
    return destination_of(attempt)


def _move(session: Session, from_consumer: str, to_consumer: str, host: str) -> None:
    execute(session, _MOVE, from_consumer=from_consumer, to_consumer=to_consumer, on_host=host)


def _release(session: Session, ref: m.AttemptRef) -> None:
    instance, evacuation = lock_undo(session, ref)
    _refuse_unproven(session, ref)
    where = (AllocationRow.consumer_id == instance.id, AllocationRow.host != evacuation.source)
    for row in session.exec(select(AllocationRow).where(*where)).all():
        session.delete(row)
    _move(session, evacuation.migration_id, instance.id, evacuation.source)
    change(session, evacuation, phase=m.AttemptPhase.UNDONE)


def _refuse_unproven(session: Session, ref: m.AttemptRef) -> None:
    mine = (ResidenceRow.instance_id == ref.instance_id, ResidenceRow.evacuation_id == ref.evacuation_id)
    if session.exec(select(ResidenceRow).where(*mine, col(ResidenceRow.proof).is_(None))).first() is not None:
        raise ResidenceNotProvenError(f"the guest of attempt {ref.attempt} may run on its destination")
