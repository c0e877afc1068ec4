"""State transitions as data: who may be evacuated, what each state becomes, and how an evacuation ends."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from evacuation.messages import AttemptPhase
from evacuation.model import Frozen, MigrationStatus, TaskState, VmState

EVACUABLE = frozenset({VmState.ACTIVE, VmState.STOPPED, VmState.ERROR})
"""Source: Nova's evacuate refuses every other vm_state."""

WANTED: Mapping[VmState, VmState] = MappingProxyType(
    {VmState.ACTIVE: VmState.ACTIVE, VmState.STOPPED: VmState.STOPPED, VmState.ERROR: VmState.ACTIVE}
)
"""The vm_state at the end of a recovery; error comes back as it was before the error, if that is recorded."""

REBUILDING: tuple[TaskState, ...] = (
    TaskState.REBUILDING,
    TaskState.REBUILD_BLOCK_DEVICE_MAPPING,
    TaskState.REBUILD_SPAWNING,
)
"""task_state during an evacuation, in order; none at both ends."""

MIGRATIONS: Mapping[MigrationStatus, frozenset[MigrationStatus]] = MappingProxyType(
    {
        MigrationStatus.ACCEPTED: frozenset(
            {
                MigrationStatus.PRE_MIGRATING,
                MigrationStatus.FAILED,
                MigrationStatus.ERROR,
                MigrationStatus.CANCELLED,
            }
        ),
        MigrationStatus.PRE_MIGRATING: frozenset(
            {MigrationStatus.DONE, MigrationStatus.FAILED, MigrationStatus.ERROR, MigrationStatus.CANCELLED}
        ),
        MigrationStatus.DONE: frozenset({MigrationStatus.COMPLETED}),
        MigrationStatus.COMPLETED: frozenset(),
        MigrationStatus.FAILED: frozenset(),
        MigrationStatus.ERROR: frozenset(),
        MigrationStatus.CANCELLED: frozenset(),
    }
)

PHASES: Mapping[AttemptPhase, frozenset[AttemptPhase]] = MappingProxyType(
    {
        AttemptPhase.FORWARD: frozenset({AttemptPhase.AUTHORIZED, AttemptPhase.UNDOING}),
        AttemptPhase.AUTHORIZED: frozenset({AttemptPhase.STARTED, AttemptPhase.UNDOING}),
        AttemptPhase.STARTED: frozenset({AttemptPhase.UNDOING, AttemptPhase.CLOSED}),
        AttemptPhase.UNDOING: frozenset({AttemptPhase.UNDONE}),
        AttemptPhase.UNDONE: frozenset({AttemptPhase.FORWARD, AttemptPhase.UNDOING, AttemptPhase.CLOSED}),
        AttemptPhase.CLOSED: frozenset(),
    }
)
"""A started one is undone for nothing but the instance's deletion (I8)."""


class EndingCause(StrEnum):
    RECOVERED = "recovered"
    REFUSED = "refused"
    FENCE_FAILED = "fence_failed"
    LOST_COMPARE_AND_SWAP = "lost_compare_and_swap"
    SOURCE_RETURNED = "source_returned"
    MISPLACED = "misplaced"
    NO_HOST = "no_host"
    ALL_REFUSED_IN_PREPARATION = "all_refused_in_preparation"
    LATER_STEP_FAILED = "later_step_failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"


class Ending(Frozen):
    """How it ends for one cause (docs/design.md#how-an-evacuation-ends). `vm_state` None: as before; for a recovery, as
    wanted. `migration` None: no record, or none of its own."""

    outcome: Literal["recovered", "not_recovered", "cancelled", "refused"] = "not_recovered"
    vm_state: VmState | None = None
    migration: MigrationStatus | None = None
    has_fault: bool = False


ENDINGS: Mapping[EndingCause, Ending] = MappingProxyType(
    {
        EndingCause.RECOVERED: Ending(outcome="recovered", migration=MigrationStatus.DONE),
        EndingCause.REFUSED: Ending(outcome="refused"),
        EndingCause.FENCE_FAILED: Ending(),
        EndingCause.LOST_COMPARE_AND_SWAP: Ending(),
        EndingCause.SOURCE_RETURNED: Ending(migration=MigrationStatus.FAILED),
        EndingCause.MISPLACED: Ending(migration=MigrationStatus.FAILED),
        EndingCause.NO_HOST: Ending(vm_state=VmState.ERROR, migration=MigrationStatus.ERROR, has_fault=True),
        EndingCause.ALL_REFUSED_IN_PREPARATION: Ending(migration=MigrationStatus.FAILED),
        EndingCause.LATER_STEP_FAILED: Ending(vm_state=VmState.ERROR, migration=MigrationStatus.FAILED, has_fault=True),
        EndingCause.CANCELLED: Ending(outcome="cancelled", migration=MigrationStatus.CANCELLED),
        EndingCause.DELETED: Ending(vm_state=VmState.DELETED, migration=MigrationStatus.FAILED),
    }
)
