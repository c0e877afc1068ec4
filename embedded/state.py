"""The state directory of an embedded stack: where everything lies."""

from pathlib import Path

from services.runtime.durable_files import write_durably
from services.runtime.stack_record import RECORD, StackRecord, read_record


class StateDir:
    """The paths. The process hypervisors' disks and hosts lie directly in the directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.record = self.path / RECORD
        self.processes = self.path / "processes.json"
        self.lock = self.path / "stack.lock"
        self.names = self.path / "names.json"
        self.strikes = self.path / "strikes"
        self.store = self.path / "state.db"
        self.temporal = self.path / "temporal.db"
        self.logs = self.path / "logs"

    def read_record(self) -> StackRecord | None:
        return read_record(self.path)

    def write_record(self, record: StackRecord) -> None:
        """For its user alone: the database's URL may have a password in it."""
        write_durably(self.record, record.model_dump_json(indent=2), private=True)
