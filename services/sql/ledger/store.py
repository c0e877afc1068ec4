"""The state of instances and of their evacuations."""

from sqlmodel import Session

from evacuation import messages as m
from evacuation.errors import EndNotRecordedError, HostNotFoundError, ObjectGoneError, StoreConflictError
from evacuation.ledger import StartMark
from evacuation.model import MigrationStatus, TaskState
from evacuation.ports import CheckFacts
from services.sql.database import Database
from services.sql.hosts import reports
from services.sql.ledger import authorize, begin, block_devices, endings, losses
from services.sql.ledger.actions import write_events
from services.sql.ledger.guard import lock_forward, lock_undo
from services.sql.ledger.position import require_sound_for
from services.sql.ledger.source import rely_on_source
from services.sql.read import facts
from services.sql.rows import write_migration
from services.sql.statements import change
from services.sql.tables import EvacuationRow, InstanceRow


class SqlStore:
    """The port `EvacuationStore`: every call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check_facts(
        self, instance_id: str, target: str | None = None, witnessed: StartMark | None = None
    ) -> CheckFacts:
        return self._database.read(_check_facts, instance_id, target, witnessed)

    def begin(self, message: m.Begin) -> m.Begun:
        return self._database.write(begin.begin, message)

    def record_preparation(self, message: m.RecordPreparation) -> None:
        self._database.write(_record_preparation, message)

    def block_devices(self, ref: m.AttemptRef) -> tuple[m.BlockDevice, ...]:
        return self._database.read(block_devices.block_devices, ref)

    def stored_definition(self, instance_id: str) -> m.StoredDefinition:
        return self._database.read(reports.stored_definition, instance_id)

    def save_source_connector(self, ref: m.AttemptRef, volume_id: str, connector: m.Connector) -> None:
        self._database.write(block_devices.save_source_connector, ref, volume_id, connector)

    def forget_source_connector(self, ref: m.AttemptRef, volume_id: str) -> None:
        self._database.write(block_devices.forget_source_connector, ref, volume_id)

    def save_attachment(self, ref: m.AttemptRef, volume_id: str, attachment_id: str, *, undo: bool) -> None:
        self._database.write(block_devices.save_attachment, ref, volume_id, attachment_id, undo=undo)

    def enter_block_device_mapping(self, ref: m.AttemptRef) -> None:
        self._database.write(_enter_block_device_mapping, ref)

    def authorize_spawn(self, message: m.AuthorizeSpawn) -> m.Authorized:
        authorized, mark = self._database.write_marked(authorize.authorize_spawn, message)
        return authorized.model_copy(update={"ledger": mark})

    def call_off(self, ref: m.AttemptRef) -> bool:
        return self._database.write(authorize.call_off, ref)

    def is_bereft(self, ref: m.AttemptRef) -> bool:
        return self._database.read(authorize.is_bereft, ref)

    def begin_undoing(self, ref: m.AttemptRef) -> bool:
        return self._database.write(_begin_undoing, ref)

    def record_guest_gone(self, message: m.RecordGuestGone) -> None:
        self._database.write(authorize.record_guest_gone, message)

    def pardon(self, instance_id: str, *, who: str, said: str) -> tuple[str, ...]:
        """A person's word about the starts of the instance. The hosts that are held against it no more."""
        return self._database.write(losses.pardon, instance_id, who=who, said=said)

    def record_start(self, ref: m.AttemptRef) -> None:
        self._database.write(authorize.record_start, ref)

    def finish(self, message: m.FinishEvacuation) -> None:
        """The guest runs: whatever is missing, this is tried until it is there. Raises EndNotRecordedError."""
        try:
            self._database.write(endings.finish, message)
        except (ObjectGoneError, StoreConflictError, HostNotFoundError) as error:
            raise EndNotRecordedError(error.message, remedy=error.remedy) from error

    def abandon(self, message: m.AbandonEvacuation) -> None:
        self._database.write(endings.abandon, message)

    def outcome(self, evacuation_id: str) -> m.EvacuationOutcome | None:
        return self._database.read(_outcome, evacuation_id)


def _check_facts(session: Session, instance_id: str, target: str | None, witnessed: StartMark | None) -> CheckFacts:
    found = facts.check_facts(session, instance_id, target)
    require_sound_for(session, session.get_one(InstanceRow, instance_id), witnessed)
    return found


def _record_preparation(session: Session, message: m.RecordPreparation) -> None:
    instance, evacuation = lock_forward(session, message.ref)
    rely_on_source(session, instance, evacuation)
    write_migration(session, evacuation, status=MigrationStatus.PRE_MIGRATING)
    change(session, instance, task_state=TaskState.REBUILDING)
    write_events(session, evacuation, message.events)


def _begin_undoing(session: Session, ref: m.AttemptRef) -> bool:
    _, evacuation = lock_undo(session, ref)
    return evacuation.yielded_to is None


def _enter_block_device_mapping(session: Session, ref: m.AttemptRef) -> None:
    instance, _ = lock_forward(session, ref)
    change(session, instance, task_state=TaskState.REBUILD_BLOCK_DEVICE_MAPPING)


def _outcome(session: Session, evacuation_id: str) -> m.EvacuationOutcome | None:
    row = session.get(EvacuationRow, evacuation_id)
    return row.outcome if row else None
