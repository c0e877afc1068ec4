"""Evacuations, their attempts, and the records that Nova keeps of them."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint, literal_column, text
from sqlmodel import Field, col

from evacuation.messages import AttemptPhase, EvacuationOutcome
from evacuation.model import Evidence, MigrationStatus, TaskState, VmState
from evacuation.poison import Loss
from services.sql.tables.columns import Row, Utc, json_of, utc_now, word


def _among_open(name: str, column: str, *, unique: bool = False) -> Index:
    """However many have ended."""
    is_open = text("phase != 'closed'")
    return Index(name, column, unique=unique, sqlite_where=is_open, postgresql_where=is_open)


class EvacuationRow(Row, table=True):
    """One open evacuation per instance. A closed row stays: it is what makes a late call stale.

    `evidence`: by what the source was off when anything was first taken from the instance for its sake. `waits`: its
    last claim found no host, and is to be made again. `yielded_to`: the boot of the source that came back while it
    waited; from then on it claims nothing, and holds nobody."""

    __table_args__ = (
        _among_open("uq_evacuation_open", "instance_id", unique=True),
        _among_open("ix_evacuation_open_source", "source"),
        _among_open("ix_evacuation_open_phase", "phase"),
    )
    id: str = Field(primary_key=True)
    instance_id: str = Field(foreign_key="instance.id", index=True)
    owner: str
    attempt: int = 0
    phase: AttemptPhase = Field(default=AttemptPhase.UNDONE, sa_type=word(AttemptPhase))
    request_id: str
    migration_id: str = Field(unique=True)
    source: str
    source_incarnation: str | None = None
    evidence: Evidence | None = Field(default=None, sa_type=json_of(Evidence))
    waits: bool = False
    yielded_to: str | None = None
    vm_state_before: VmState = Field(sa_type=word(VmState))
    task_state_before: TaskState | None = Field(default=None, sa_type=word(TaskState))
    wanted: VmState = Field(sa_type=word(VmState))
    outcome: EvacuationOutcome | None = Field(default=None, sa_type=json_of(EvacuationOutcome))
    started_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
    closed_at: datetime | None = Field(default=None, sa_type=Utc)


IS_OPEN = col(EvacuationRow.phase) != literal_column("'closed'")
"""Written out, not bound: only so a database sees that the indexes of what is open will do."""


class AttemptRow(Row, table=True):
    """Where an attempt went, and the epoch that it was given: once per attempt, once per instance. `lost`: its host was
    lost while its guest started there."""

    __table_args__ = (UniqueConstraint("instance_id", "epoch"),)
    evacuation_id: str = Field(primary_key=True, foreign_key="evacuation.id")
    number: int = Field(primary_key=True)
    instance_id: str = Field(foreign_key="instance.id")
    host: str = Field(foreign_key="host.name", index=True)
    incarnation: str | None = None
    hypervisor_uuid: str | None = None
    epoch: int
    lost: Loss | None = Field(default=None, sa_type=json_of(Loss))
    claimed_at: datetime = Field(default_factory=utc_now, sa_type=Utc)


class MigrationRow(Row, table=True):
    """One record per evacuation. `source_epoch`: of the guest that the source may still have a copy of."""

    __table_args__ = (
        Index(
            "ix_migration_left_behind",
            "source",
            sqlite_where=text("status = 'done'"),
            postgresql_where=text("status = 'done'"),
        ),
    )
    id: str = Field(primary_key=True)
    evacuation_id: str = Field(unique=True, foreign_key="evacuation.id")
    instance_id: str = Field(foreign_key="instance.id", index=True)
    type: str = "evacuation"
    status: MigrationStatus = Field(default=MigrationStatus.ACCEPTED, sa_type=word(MigrationStatus))
    source: str = Field(foreign_key="host.name")
    source_epoch: int
    destination: str | None = Field(default=None, foreign_key="host.name")
    created_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=Utc)


class ActionRow(Row, table=True):
    """An instance action: one for each evacuation."""

    evacuation_id: str = Field(primary_key=True, foreign_key="evacuation.id")
    instance_id: str = Field(foreign_key="instance.id", index=True)
    action: str = "evacuate"
    request_id: str
    started_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
    finished_at: datetime | None = Field(default=None, sa_type=Utc)


class ActionEventRow(Row, table=True):
    """An executed step, as the workflow wrote it."""

    __table_args__ = (UniqueConstraint("evacuation_id", "attempt", "name", "started_at"),)
    id: int | None = Field(default=None, primary_key=True)
    evacuation_id: str = Field(foreign_key="action.evacuation_id")
    attempt: int
    name: str
    host: str | None = None
    result: str
    started_at: datetime = Field(sa_type=Utc)
    finished_at: datetime = Field(sa_type=Utc)
    details: str = ""
