"""How far an evacuation has come, as people see it."""

from datetime import datetime
from typing import Literal

from evacuation.model import Frozen
from evacuation.retries import Retrying


class StepView(Frozen):
    """One line of the live table."""

    name: str
    host: str | None
    state: Literal["running", "done", "failed"]
    started_at: datetime
    finished_at: datetime | None = None
    note: str = ""


class Progress(Frozen):
    """The answer of the query `progress`. In phase `blocked`, `cause` and `remedy` say what a person can do."""

    evacuation_id: str
    instance: str
    source: str | None
    destination: str | None
    phase: Literal["checking", "fencing", "evacuating", "settling", "blocked", "undoing", "finishing", "ended"]
    attempt: int
    steps: tuple[StepView, ...]
    cause: str = ""
    remedy: str = ""
    retrying: Retrying | None = None
    """What this run itself tries again, and has failed so often that a person should know."""
