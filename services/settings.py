"""Settings of every process, read once in a composition root: environment variables that begin with EVACUATE_."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from evacuation.messages import Tuning


class Settings(BaseSettings):
    """Durations are in seconds. What is None is found elsewhere: in the embedded stack's state directory, or in
    Temporal's own environment configuration."""

    model_config = SettingsConfigDict(env_prefix="EVACUATE_", extra="ignore", frozen=True)

    state_dir: Path = Field(default=Path(".evacuate"), validate_default=True)
    database_url: str | None = None
    temporal_address: str | None = None
    temporal_namespace: str | None = None
    ui_address: str | None = None

    hypervisor: Literal["process", "simulated"] = "process"
    fencing: Literal["process", "operator"] = "process"
    disk_lock: bool = True
    spawn_delay: float = Field(default=0.0, ge=0)
    """Of the simulated hypervisor."""
    step_delay: float = Field(default=0.0, ge=0)

    time_scale: float = Field(default=1.0, gt=0)
    hold: float = Field(default=30.0, ge=0)
    max_attempts: int = Field(default=5, ge=1)
    attempts_per_host: int = Field(default=2, ge=1)

    control_workers: int = Field(default=1, ge=1)
    control_activities: int = Field(default=40, ge=1)
    control_workflow_tasks: int = Field(default=40, ge=1)
    control_cached_workflows: int = Field(default=100, ge=1)
    """Runs that a control worker keeps in memory. One that was terminated, or went to another worker, stays until
    newer ones push it out; one that was pushed out is replayed."""
    host_activities: int = Field(default=10, ge=1)
    probe_activities: int = Field(default=4, ge=1)
    control_pollers: int = Field(default=5, ge=1)
    host_pollers: int = Field(default=2, ge=1)

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    faults: Path | None = None

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @property
    def store_url(self) -> str:
        """The database that was named, or the state directory's own."""
        return self.database_url or f"sqlite:///{self.state_dir / 'state.db'}"

    @property
    def tuning(self) -> Tuning:
        return Tuning(
            scale=self.time_scale,
            max_attempts=self.max_attempts,
            attempts_per_host=self.attempts_per_host,
            hold=timedelta(seconds=self.hold),
        )

    @property
    def grace(self) -> timedelta:
        """How long a worker that is asked to stop lets its activities finish."""
        return timedelta(seconds=30 * self.time_scale)
