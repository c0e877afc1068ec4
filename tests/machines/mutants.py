"""Defects that a store could have. Each is one rule less; the machine has to find every one of them."""

from collections.abc import Callable, Mapping
from threading import Barrier, BrokenBarrierError
from types import MappingProxyType
from typing import Any

import pytest
from sqlmodel import Session, col, select

from evacuation import messages as m
from evacuation.model import Evidence, PortStatus
from services.cloud.sql import allocations, capacity, network, volumes
from services.cloud.sql.allocations import Allocations
from services.sql.hosts import returning
from services.sql.instances import holdings
from services.sql.instances.holdings import bind_ports
from services.sql.ledger import authorize, begin, endings, guard
from services.sql.ledger.evidence import current_evidence
from services.sql.ledger.guard import lock, lock_undo
from services.sql.rows import lock_instance
from services.sql.statements import change
from services.sql.tables import AllocationRow, EvacuationRow, EvidenceRow, InstanceRow, ResidenceRow

Mutant = Callable[[pytest.MonkeyPatch], None]


def authorize_accepts_voided_evidence(patch: pytest.MonkeyPatch) -> None:
    def any_evidence(session: Session, host: str, incarnation: str | None, instance_id: str) -> Evidence | None:
        said = select(EvidenceRow).where(EvidenceRow.host == host, EvidenceRow.incarnation == (incarnation or ""))
        row = session.exec(said.order_by(col(EvidenceRow.id))).first()
        if row is None:
            return current_evidence(session, host, incarnation, instance_id)
        return Evidence(**row.model_dump(include=set(Evidence.model_fields) - {"also"}))

    patch.setattr(authorize, "usable_evidence", any_evidence)


def proof_of_a_guest_may_be_voided_evidence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authorize, "_refuse_voided", lambda *_: None)


def claim_ignores_the_generation(patch: pytest.MonkeyPatch) -> None:
    """Two claims that come at once meet here, as they would some day."""
    both = Barrier(2)

    def taken(*_: Any) -> bool:
        try:
            both.wait(timeout=0.2)
        except BrokenBarrierError:
            both.reset()
        return True

    patch.setattr(allocations, "take_turn", lambda _: None)
    patch.setattr(allocations, "swap", taken)


def release_forgets_the_allocation(patch: pytest.MonkeyPatch) -> None:
    def release(session: Session, ref: m.AttemptRef) -> None:
        _, evacuation = lock_undo(session, ref)
        Allocations(session).move(evacuation.migration_id, f"{ref.instance_id}", evacuation.source)
        evacuation.phase = m.AttemptPhase.UNDONE

    patch.setattr(capacity, "_release", release)


def release_keeps_the_sources_half(patch: pytest.MonkeyPatch) -> None:
    move = Allocations.move

    def one_way(mine: Allocations, from_consumer: str, to_consumer: str, host: str) -> None:
        if mine._session.get(InstanceRow, from_consumer) is not None:
            move(mine, from_consumer, to_consumer, host)

    patch.setattr(Allocations, "move", one_way)


def begin_does_not_compare(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(begin, "_compare", lambda *_: None)


def begin_is_not_barred_by_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(endings, "_bar", lambda *_: None)
    patch.setattr(begin, "_compare", lambda *_: None)


def guard_forgets_the_owner(patch: pytest.MonkeyPatch) -> None:
    def any_owner(session: Session, ref: m.AttemptRef) -> guard.Locked:
        row = session.get(EvacuationRow, ref.evacuation_id)
        return lock(session, ref.model_copy(update={"owner": row.owner}) if row else ref)

    for module in (guard, authorize, capacity):
        patch.setattr(module, "lock", any_owner)


def late_compensation_is_listened_to(patch: pytest.MonkeyPatch) -> None:
    """A compensation of the attempt before undoes the one that goes forward now."""
    rule = {**guard._UNDO, (-1, m.AttemptPhase.FORWARD): m.AttemptPhase.UNDOING}

    def undo(session: Session, ref: m.AttemptRef) -> guard.Locked:
        instance, evacuation = lock(session, ref)
        phase = rule.get((ref.attempt - evacuation.attempt, evacuation.phase))
        if phase is None:
            return lock_undo(session, ref)
        evacuation.phase = phase
        return instance, evacuation

    for module in (capacity, network, volumes):
        patch.setattr(module, "lock_undo", undo)


def late_forward_call_is_listened_to(patch: pytest.MonkeyPatch) -> None:
    def forward(session: Session, ref: m.AttemptRef, *_: m.AttemptPhase) -> guard.Locked:
        instance, evacuation = lock(session, ref)
        guard.refuse_deleted(instance)
        return instance, evacuation

    for module in (network, volumes):
        patch.setattr(module, "lock_forward", forward)


def forward_call_does_not_see_the_deletion(patch: pytest.MonkeyPatch) -> None:
    for module in (guard, capacity):
        patch.setattr(module, "refuse_deleted", lambda _: None)


def undoing_leaves_the_ports(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(network, "_unbind", lambda session, ref: lock_undo(session, ref))


def undoing_keeps_the_destinations_binding(patch: pytest.MonkeyPatch) -> None:
    def unbind(session: Session, ref: m.AttemptRef) -> None:
        _, evacuation = lock_undo(session, ref)
        bind_ports(session, ref.instance_id, evacuation.source, PortStatus.ACTIVE)

    patch.setattr(network, "_unbind", unbind)


def end_keeps_the_migrations_hold(patch: pytest.MonkeyPatch) -> None:
    def settle(session: Session, instance: InstanceRow, _: EvacuationRow, residence: ResidenceRow) -> None:
        bind_ports(session, instance.id, residence.host, PortStatus.ACTIVE)
        session.flush()
        holdings.drop_other_bindings(session, instance.id, residence.host)

    patch.setattr(endings, "_settle_on_destination", settle)


def end_forgets_the_task(patch: pytest.MonkeyPatch) -> None:
    def restore(session: Session, instance: InstanceRow, row: EvacuationRow, message: m.AbandonEvacuation) -> None:
        change(session, instance, vm_state=message.vm_state or row.vm_state_before)

    patch.setattr(endings, "_restore", restore)


def deletion_leaves_allocations(patch: pytest.MonkeyPatch) -> None:
    def remove(session: Session, instance_id: str) -> None:
        mine = select(AllocationRow).where(AllocationRow.consumer_id == instance_id)
        for row in session.exec(mine).all():
            session.delete(row)

    patch.setattr(holdings, "_remove_allocations", remove)


def call_off_does_not_say_so(patch: pytest.MonkeyPatch) -> None:
    """The attempt is left forward: an authorisation that comes late is given."""

    def call_off(session: Session, ref: m.AttemptRef) -> bool:
        lock_instance(session, ref.instance_id)
        return authorize._may_run(guard.lock(session, ref)[1], ref)

    patch.setattr(authorize, "call_off", call_off)
    patch.setattr(guard, "_UNDO", {**guard._UNDO, (0, m.AttemptPhase.AUTHORIZED): m.AttemptPhase.UNDOING})
    patch.setattr(guard, "MAY_RUN", ())


def undoing_does_not_ask_for_the_guest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard, "_UNDO", {**guard._UNDO, (0, m.AttemptPhase.AUTHORIZED): m.AttemptPhase.UNDOING})
    patch.setattr(guard, "MAY_RUN", ())
    patch.setattr(authorize, "_may_run", lambda *_: False)
    patch.setattr(capacity, "_refuse_unproven", lambda *_: None)


def authorize_forgets_the_cap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authorize, "_starting_on", lambda *_: 0)


def returning_host_keeps_evidence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(returning, "void", lambda *_: False)


def returning_host_is_not_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(returning, "open_evacuations_from", lambda *_: [])


def returning_host_starts_what_is_in_flight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(returning._Reconciliation, "_evacuations", lambda _: frozenset())


def two_attachments_at_once(patch: pytest.MonkeyPatch) -> None:
    def keep(session: Session, ref: m.AttemptRef, attachment_id: str, *, undo: bool) -> None:
        volumes._guard(session, ref, undo=undo)

    patch.setattr(volumes, "_delete", keep)


MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {
        mutant.__name__: mutant
        for mutant in (
            authorize_accepts_voided_evidence,
            proof_of_a_guest_may_be_voided_evidence,
            claim_ignores_the_generation,
            release_forgets_the_allocation,
            release_keeps_the_sources_half,
            begin_does_not_compare,
            begin_is_not_barred_by_the_end,
            guard_forgets_the_owner,
            late_compensation_is_listened_to,
            late_forward_call_is_listened_to,
            forward_call_does_not_see_the_deletion,
            undoing_leaves_the_ports,
            undoing_keeps_the_destinations_binding,
            end_keeps_the_migrations_hold,
            end_forgets_the_task,
            deletion_leaves_allocations,
            call_off_does_not_say_so,
            undoing_does_not_ask_for_the_guest,
            authorize_forgets_the_cap,
            returning_host_keeps_evidence,
            returning_host_is_not_held,
            returning_host_starts_what_is_in_flight,
            two_attachments_at_once,
        )
    }
)
"""By name."""

ON_POSTGRES = frozenset({"claim_ignores_the_generation"})
"""SQLite has one writer: there two claims cannot be at once."""

WHEN_OPERATORS_ERR = frozenset(
    {
        "authorize_accepts_voided_evidence",
        "proof_of_a_guest_may_be_voided_evidence",
        "returning_host_keeps_evidence",
    }
)
