"""Settings of every process, read once in a composition root: environment variables that begin with EVACUATE_."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from evacuation.fencing import FencingPolicy
from evacuation.messages import GuestSignal, Tuning
from services.drivers import FENCES, HYPERVISORS, VOLUMES, one_of


def _policy(value: object) -> object:
    try:
        return FencingPolicy.parse(value) if isinstance(value, str) else value
    except ValueError as error:
        raise PydanticCustomError("policy", "{why}", {"why": str(error)}) from None


class Settings(BaseSettings):
    """Durations are in seconds. What is None is found elsewhere: in the embedded stack's state directory, or in
    Temporal's own environment configuration."""

    model_config = SettingsConfigDict(env_prefix="EVACUATE_", extra="ignore", frozen=True)

    state_dir: Path = Field(default=Path(".evacuate"), validate_default=True)
    database_url: str | None = None
    temporal_address: str | None = None
    temporal_namespace: str | None = None
    ui_address: str | None = None

    hypervisor: Annotated[str, one_of(HYPERVISORS)] = "process"
    fencing: Annotated[str, one_of(FENCES)] = "process"
    bmc_file: Path | None = None
    """Which BMC switches which host, by which account: see docs/operations.md."""
    bmc_timeout: float = Field(default=8.0, gt=0, le=9)
    """In which a BMC must answer a question; less than the heartbeat of a fence."""
    fencing_policy: Annotated[FencingPolicy, NoDecode, BeforeValidator(_policy)] = FencingPolicy()
    """Of the control workers: how many of which kinds of evidence prove a place empty."""
    power_reading_age: float = Field(default=60.0, gt=0)
    """Seconds for which what a host's power read is good: older power-off evidence, and any operator's word, is used
    only after it was read again."""
    fencing_unmet: Literal["end", "wait"] = "end"
    """What an evacuation does when that cannot be had: end, or wait in the open."""
    volumes: Annotated[str, one_of(VOLUMES)] = "sql"
    nbd_dir: Path | None = None
    """Of the NBD volume service, on the machine of the control workers: images, socket, locks."""
    nbd_address: str = "127.0.0.1:10809"
    """HOST:PORT where the storage daemon listens, and where hosts find it."""
    nbd_create: bool = False
    """Make an empty image for a volume that has none."""
    disk_lock: bool = True
    machine_id: str | None = None
    """Of a host's worker. None: this system's. A container has no lasting one of its own."""
    spawn_delay: float = Field(default=0.0, ge=0)
    """Of the simulated hypervisor."""
    step_delay: float = Field(default=0.0, ge=0)

    host_state_dir: Path | None = None
    """Of a libvirt host's worker: tombstones, locks, consoles. None: /var/lib/evacuate. It must outlive a reboot."""
    hypervisor_uuid: str | None = None
    """None: the host's uuid as libvirt has it."""
    incarnation_file: Path | None = None
    """None: the kernel's boot id. For hosts that share a kernel: a file under the host's own /run, made again by the
    first worker of a boot."""
    libvirt_uri: str = "qemu:///system"
    libvirt_domain_type: Literal["kvm", "qemu"] = "kvm"
    libvirt_machine: str | None = None
    """None: as the guest's definition has it; without one, libvirt's default."""
    libvirt_cpu: str | None = None
    """host-passthrough, host-model, maximum, or a model's name. None: as the guest's definition has it."""
    libvirt_shared_dirs: Annotated[tuple[Path, ...], NoDecode] = ()
    """Where shared disks lie, with colons between; each must be there, and be written to, before a guest is taken."""
    libvirt_template: Path | None = None
    """A domain's XML for instances without a stored definition, with $instance_id, $name, $host, $epoch, $ip, $mac."""
    libvirt_bridges: Annotated[dict[str, str], NoDecode] = {}
    """Bridges by network, for ports that name none: lan=br0,dmz=br1."""
    libvirt_signal: GuestSignal = "none"
    """For guests whose definition says none."""
    libvirt_signal_line: str = "login:"
    """The regular expression of the serial console's line."""
    libvirt_signal_timeout: float = Field(default=90.0, gt=0)
    libvirt_call_timeout: float = Field(default=10.0, gt=0)
    """Of one call to libvirt, also of one that opens the connection."""
    libvirt_reconnect_delay: int = Field(default=20, ge=0)
    """Seconds for which a guest's requests wait for a volume's server that is gone; 0: they fail at once."""
    libvirt_announce: bool = True
    """A started guest's addresses are announced on its bridges, so that switches learn where it is."""

    event_retention_days: float = Field(default=90.0, ge=0)
    """Of the events of actions that have ended, in the state store; 0: for ever."""

    report_interval: float = Field(default=30.0, gt=0)
    """Between two looks of a libvirt host's worker at how its guests are defined."""

    time_scale: float = Field(default=1.0, gt=0)
    hold: float = Field(default=30.0, ge=0)
    """For an answer of a destination that fell silent, before it is fenced."""
    host_patience: float = Field(default=600.0, ge=0)
    """With a host that answers its probe, and has not done in time what it was asked for."""
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

    @field_validator("libvirt_shared_dirs", mode="before")
    @classmethod
    def _paths(cls, given: object) -> object:
        return tuple(filter(None, given.split(":"))) if isinstance(given, str) else given

    @field_validator("libvirt_bridges", mode="before")
    @classmethod
    def _by_network(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        pairs = [pair.partition("=") for pair in given.split(",") if pair]
        if not all(network and bridge for network, _, bridge in pairs):
            raise ValueError("write NETWORK=BRIDGE, with commas between")
        return {network.strip(): bridge.strip() for network, _, bridge in pairs}

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
            patience=timedelta(seconds=self.host_patience),
            await_evidence=self.fencing_unmet == "wait",
        )

    @property
    def policy(self) -> FencingPolicy:
        """The fencing policy with the times that belong to it."""
        age = timedelta(seconds=self.power_reading_age * self.time_scale)
        return self.fencing_policy.model_copy(update={"reading_age": age})

    @property
    def event_retention(self) -> timedelta | None:
        """None: for ever."""
        return timedelta(days=self.event_retention_days) if self.event_retention_days else None

    @property
    def grace(self) -> timedelta:
        """How long a worker that is asked to stop lets its activities finish."""
        return timedelta(seconds=30 * self.time_scale)
