"""The tables of states: closed, consistent with each other, and with the order of an evacuation."""

import pytest

from evacuation.messages import AttemptPhase
from evacuation.model import MigrationStatus, TaskState, VmState
from evacuation.transitions import ENDINGS, EVACUABLE, MIGRATIONS, PHASES, REBUILDING, WANTED, Ending, EndingCause

NOT_RECOVERED = set(EndingCause) - {EndingCause.RECOVERED, EndingCause.REFUSED, EndingCause.CANCELLED}
AFTER_BEGIN = set(EndingCause) - {EndingCause.REFUSED, EndingCause.FENCE_FAILED, EndingCause.LOST_COMPARE_AND_SWAP}
"""Causes that leave a migration record."""


def reachable(start: MigrationStatus) -> set[MigrationStatus]:
    return {start}.union(*(reachable(after) for after in MIGRATIONS[start]))


def test_every_migration_status_has_its_successors_and_is_reached_from_accepted():
    assert set(MIGRATIONS) == set(MigrationStatus) == reachable(MigrationStatus.ACCEPTED)


def test_a_migration_is_completed_only_after_done():
    assert {each for each in MIGRATIONS if MigrationStatus.COMPLETED in MIGRATIONS[each]} == {MigrationStatus.DONE}


def test_a_migration_that_is_done_never_fails():
    assert reachable(MigrationStatus.DONE) == {MigrationStatus.DONE, MigrationStatus.COMPLETED}


def test_every_phase_has_its_successors_and_only_closed_is_final():
    assert set(PHASES) == set(AttemptPhase)
    assert {phase for phase, after in PHASES.items() if not after} == {AttemptPhase.CLOSED}


def test_an_attempt_is_closed_only_when_it_has_started_or_is_undone():
    closing = {phase for phase, after in PHASES.items() if AttemptPhase.CLOSED in after}
    assert closing == {AttemptPhase.STARTED, AttemptPhase.UNDONE}


def test_an_attempt_that_is_being_undone_never_goes_forward_before_it_is_undone():
    assert PHASES[AttemptPhase.UNDOING] == {AttemptPhase.UNDONE}


def test_a_phase_follows_another_one_only_as_an_attempt_goes_on():
    ways = {f"{before} {after}" for before, allowed in PHASES.items() for after in allowed}
    assert ways == {
        "undone forward",
        "forward authorized",
        "authorized started",
        "started closed",
        "undone closed",
        "forward undoing",
        "authorized undoing",
        "started undoing",
        "undoing undone",
        "undone undoing",
    }


def test_task_states_of_an_evacuation_are_in_novas_order():
    assert [state.value for state in REBUILDING] == [
        "rebuilding",
        "rebuild_block_device_mapping",
        "rebuild_spawning",
    ]
    assert set(REBUILDING) < set(TaskState)


def test_every_evacuable_state_has_a_wanted_end_and_it_is_active_or_stopped():
    assert set(WANTED) == set(EVACUABLE) == {VmState.ACTIVE, VmState.STOPPED, VmState.ERROR}
    assert set(WANTED.values()) == {VmState.ACTIVE, VmState.STOPPED}


def test_every_cause_has_an_ending():
    assert set(ENDINGS) == set(EndingCause)


@pytest.mark.parametrize("cause", sorted(NOT_RECOVERED))
def test_ending_is_not_recovered_when_it_neither_recovers_nor_refuses_nor_is_cancelled(cause: EndingCause):
    assert ENDINGS[cause].outcome == "not_recovered"


def test_endings_leave_a_migration_exactly_when_the_evacuation_had_begun():
    assert {cause for cause, ending in ENDINGS.items() if ending.migration is not None} == AFTER_BEGIN


def test_endings_have_a_fault_exactly_when_they_leave_the_instance_in_error():
    in_error = {cause for cause, ending in ENDINGS.items() if ending.vm_state is VmState.ERROR}
    assert in_error == {EndingCause.NO_HOST, EndingCause.LATER_STEP_FAILED}
    assert {cause for cause, ending in ENDINGS.items() if ending.has_fault} == in_error


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (EndingCause.RECOVERED, MigrationStatus.DONE),
        (EndingCause.NO_HOST, MigrationStatus.ERROR),
        (EndingCause.CANCELLED, MigrationStatus.CANCELLED),
        (EndingCause.ALL_REFUSED_IN_PREPARATION, MigrationStatus.FAILED),
        (EndingCause.LATER_STEP_FAILED, MigrationStatus.FAILED),
        (EndingCause.SOURCE_RETURNED, MigrationStatus.FAILED),
        (EndingCause.DELETED, MigrationStatus.FAILED),
    ],
)
def test_ending_leaves_the_migration_in_novas_status(cause: EndingCause, status: MigrationStatus):
    assert ENDINGS[cause].migration is status


@pytest.mark.parametrize("cause", sorted(NOT_RECOVERED - {EndingCause.DELETED}))
def test_ending_keeps_the_state_as_before_unless_it_is_an_error(cause: EndingCause):
    assert ENDINGS[cause].vm_state in (None, VmState.ERROR)


def test_ending_of_a_deletion_is_deleted():
    assert ENDINGS[EndingCause.DELETED] == Ending(vm_state=VmState.DELETED, migration=MigrationStatus.FAILED)


def test_every_migration_status_of_an_ending_is_reached_from_accepted():
    after_begin = reachable(MigrationStatus.ACCEPTED)
    assert {ending.migration for ending in ENDINGS.values()} - {None} <= after_begin
