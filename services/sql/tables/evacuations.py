"""Evacuations, their attempts, and the records that Nova keeps of them."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from evacuation.messages import AttemptPhase, EvacuationOutcome
from evacuation.model import MigrationStatus, TaskState, VmState
from services.sql.tables.columns import Row, Utc, json_of, utc_now, word


class EvacuationRow(Row, table=True):
    """One open evacuation per instance. A closed row stays: it is what makes a late call stale."""

    __table_args__ = (
        Index(
            "uq_evacuation_open",
            "instance_id",
            unique=True,
            sqlite_where=text("phase != 'closed'"),
            postgresql_where=text("phase != 'closed'"),
        ),
    )
    id: str = Field(primary_key=True)
    instance_id: str = Field(foreign_key="instance.id")
    owner: str
    attempt: int = 0
    phase: AttemptPhase = Field(default=AttemptPhase.UNDONE, sa_type=word(AttemptPhase))
    request_id: str
    migration_id: str = Field(unique=True)
    source: str = Field(index=True)
    source_incarnation: str | None = None
    vm_state_before: VmState = Field(sa_type=word(VmState))
    task_state_before: TaskState | None = Field(default=None, sa_type=word(TaskState))
    wanted: VmState = Field(sa_type=word(VmState))
    outcome: EvacuationOutcome | None = Field(default=None, sa_type=json_of(EvacuationOutcome))
    started_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
    closed_at: datetime | None = Field(default=None, sa_type=Utc)


class AttemptRow(Row, table=True):
    """Where an attempt went, and the epoch that it was given: once per attempt, once per instance."""

    __table_args__ = (UniqueConstraint("instance_id", "epoch"),)
    evacuation_id: str = Field(primary_key=True, foreign_key="evacuation.id")
    number: int = Field(primary_key=True)
    instance_id: str = Field(foreign_key="instance.id")
    host: str = Field(foreign_key="host.name", index=True)
    incarnation: str | None = None
    hypervisor_uuid: str | None = None
    epoch: int
    claimed_at: datetime = Field(default_factory=utc_now, sa_type=Utc)


class MigrationRow(Row, table=True):
    """One record per evacuation. `source_epoch`: of the guest that the source may still have a copy of."""

    id: str = Field(primary_key=True)
    evacuation_id: str = Field(unique=True, foreign_key="evacuation.id")
    instance_id: str = Field(foreign_key="instance.id", index=True)
    type: str = "evacuation"
    status: MigrationStatus = Field(default=MigrationStatus.ACCEPTED, sa_type=word(MigrationStatus))
    source: str = Field(foreign_key="host.name", index=True)
    source_epoch: int
    destination: str | None = Field(default=None, foreign_key="host.name")
    created_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=Utc)


class ActionRow(Row, table=True):
    evacuation_id: str = Field(primary_key=True, foreign_key="evacuation.id")
    instance_id: str = Field(foreign_key="instance.id", index=True)
    action: str = "evacuate"
    request_id: str
    started_at: datetime = Field(default_factory=utc_now, sa_type=Utc)
    finished_at: datetime | None = Field(default=None, sa_type=Utc)


class ActionEventRow(Row, table=True):
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
