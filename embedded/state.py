"""The state directory of an embedded stack: where everything lies, and what a running stack is."""

import os
from pathlib import Path

from evacuation.model import Frozen
from services.runtime.durable_files import write_durably
from services.runtime.settings import Settings


class StackRecord(Frozen):
    """What the other commands, and the next `up`, need to know of the stack."""

    version: str
    temporal_address: str
    temporal_namespace: str
    ui_address: str | None
    database_url: str
    own_temporal: bool
    disk_lock: bool = True
    faults: Path | None = None
    hypervisor: str = "process"
    fencing: str = "process"
    queue_partitions: int = 4
    """Of each of its own Temporal's task queues: what an older stack's file may have tasks in."""

    def as_settings(self) -> dict[str, object]:
        """What the stack's processes are to use, unless their environment says otherwise."""
        return self.model_dump(exclude={"version", "own_temporal", "queue_partitions"})


class StateDir:
    """The paths. The process hypervisors' disks and hosts lie directly in the directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.record = self.path / "stack.json"
        self.processes = self.path / "processes.json"
        self.lock = self.path / "stack.lock"
        self.names = self.path / "names.json"
        self.strikes = self.path / "strikes"
        self.store = self.path / "state.db"
        self.temporal = self.path / "temporal.db"
        self.logs = self.path / "logs"

    def read_record(self) -> StackRecord | None:
        try:
            return StackRecord.model_validate_json(self.record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write_record(self, record: StackRecord) -> None:
        write_durably(self.record, record.model_dump_json(indent=2))


def settings_for(state_dir: Path | None = None) -> Settings:
    """The environment's settings; what it leaves open is taken from the state directory's stack, if it has one.

    Raises MalformedRequestError."""
    settings = _settings(state_dir)
    record = StateDir(settings.state_dir).read_record()
    if record is None:
        return settings
    given = {name.removeprefix("EVACUATE_").lower() for name in os.environ if name.startswith("EVACUATE_")}
    return settings.model_copy(
        update={name: value for name, value in record.as_settings().items() if name not in given}
    )


def _settings(state_dir: Path | None) -> Settings:
    from pydantic import ValidationError

    from evacuation.errors import MalformedRequestError

    try:
        return Settings(state_dir=state_dir) if state_dir else Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "EVACUATE_" + ".".join(str(part) for part in first["loc"]).upper()
        raise MalformedRequestError(f"{name}: {first['msg']}") from error
