"""What a running stack is, as its state directory says: commands and processes that select it take their settings
from there."""

import os
from pathlib import Path

from pydantic import ValidationError

from evacuation.errors import MalformedRequestError
from evacuation.model import Frozen
from services.runtime.settings import Settings

RECORD = "stack.json"
"""The file, in the state directory."""


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


def read_record(state_dir: Path) -> StackRecord | None:
    """None: there is no stack."""
    try:
        return StackRecord.model_validate_json((state_dir / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def settings_for(state_dir: Path | None = None) -> Settings:
    """The environment's settings; what it leaves open is taken from the state directory's stack, if it has one.

    Raises MalformedRequestError."""
    settings = _settings(state_dir)
    record = read_record(settings.state_dir)
    if record is None:
        return settings
    given = {name.removeprefix("EVACUATE_").lower() for name in os.environ if name.startswith("EVACUATE_")}
    return settings.model_copy(
        update={name: value for name, value in record.as_settings().items() if name not in given}
    )


def _settings(state_dir: Path | None) -> Settings:
    try:
        return Settings(state_dir=state_dir) if state_dir else Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "EVACUATE_" + ".".join(str(part) for part in first["loc"]).upper()
        raise MalformedRequestError(f"{name}: {first['msg']}") from error
