"""An embedded stack is made, resumed, and ended. Readiness is in `embedded.readiness`."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from embedded.faults import read_faults
from embedded.fleets import settle
from embedded.processes import ROLE, end_all, stack_processes, supervisor_of, with_role
from embedded.state import StateDir
from embedded.temporal_server import PARTITIONS, binary, free_address
from evacuation.errors import NotTheStackError, StateDirInUseError
from evacuation.fleet import Fleet
from evacuation.model import Frozen
from services.runtime.fleet_file import read_fleet
from services.runtime.settings import Settings
from services.runtime.stack_record import StackRecord, settings_for

DEFAULT_FLEET = Path(__file__).with_name("default_fleet.yaml")
STOP_TIMEOUT = 45.0
KILL_TIMEOUT = 10.0


class UpOptions(Frozen):
    fleet: Path | None = None
    faults: Path | None = None
    database: str | None = None


def bring_up(state_dir: Path, options: UpOptions) -> Settings:
    """The stack's processes are started: everything that can be refused is refused before that.

    Raises FleetError, FaultFileError, StateDirInUseError, StoreUnavailableError, StoreSchemaError."""
    fleet = read_fleet(options.fleet) if options.fleet else None
    if options.faults:
        read_faults(options.faults)
    state = StateDir(state_dir)
    with _claim(state) as lock:
        end_all(lambda: with_role(state.path), grace=2, timeout=KILL_TIMEOUT)
        record = _record(state, options)
        settings = settings_for(state.path).model_copy(update=record.as_settings())
        _open_store(settings, fleet)
        state.write_record(record.model_copy(update={"disk_lock": fleet.disk_lock}) if fleet else record)
        _forget_strikes(state)
        _start_supervisor(state, lock)
    return settings_for(state.path)


@contextmanager
def _claim(state: StateDir) -> Generator[int]:
    """The state directory's lock; the supervisor inherits it, so that it is held for as long as the stack runs."""
    try:
        state.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise NotTheStackError(f"{state.path} cannot be a state directory: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError:
        raise StateDirInUseError(
            f"a stack runs in {state.path} already", remedy="use it, end it with `evacuate down`, or name another one"
        ) from None
    finally:
        os.close(descriptor)


def _record(state: StateDir, options: UpOptions) -> StackRecord:
    """Where everything is. A restart keeps its addresses if they are still free; the environment overrides."""
    asked, before = Settings(state_dir=state.path), state.read_record()
    own = asked.temporal_address is None
    if own:
        binary()
    reused = before if before and before.own_temporal and own else None
    address = asked.temporal_address or free_address(reused.temporal_address if reused else None)
    ui_address = asked.ui_address or (free_address(reused.ui_address if reused else None) if own else None)
    database = options.database or asked.database_url or (before.database_url if before else None)
    return StackRecord(
        version=version("evacuate"),
        temporal_address=address,
        temporal_namespace=asked.temporal_namespace or (before.temporal_namespace if before else "default"),
        ui_address=ui_address,
        database_url=database or asked.store_url,
        own_temporal=own,
        disk_lock=before.disk_lock if before else asked.disk_lock,
        faults=options.faults.resolve() if options.faults else asked.faults,
        hypervisor=asked.hypervisor,
        fencing=asked.fencing,
        queue_partitions=before.queue_partitions if before and state.temporal.exists() else PARTITIONS,
    )


def _open_store(settings: Settings, fleet: Fleet | None) -> None:
    """Migrated, loaded unless it has a fleet already and none was given, and its hosts powered."""
    from services.sql import migrate, open_services

    migrate(settings.store_url)
    services = open_services(settings.store_url)
    try:
        if fleet is not None or not services.views.hosts():
            services.fleet.load(fleet or read_fleet(DEFAULT_FLEET))
        settle(settings, services)
    finally:
        services.close()


def _forget_strikes(state: StateDir) -> None:
    """The faults of a new run are counted from the start."""
    for path in state.strikes.glob("*"):
        path.unlink()


def _start_supervisor(state: StateDir, lock: int) -> None:
    state.logs.mkdir(parents=True, exist_ok=True)
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    recorded = {f"EVACUATE_{name.upper()}" for name in StackRecord.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in recorded} | {
        ROLE: "supervisor",
        "EVACUATE_STATE_DIR": str(state.path),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    with (state.logs / "supervisor.log").open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "embedded.supervisor"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            start_new_session=True,
        )


def bring_down(state_dir: Path) -> bool:
    """No process of the stack is left, guests included, also when its supervisor was killed. True if any ran.

    Raises NotTheStackError: something does not end."""
    found = bool(stack_processes(state_dir))
    if supervisor_of(state_dir) is not None:
        end_all(lambda: with_role(state_dir, "supervisor"), grace=STOP_TIMEOUT, timeout=KILL_TIMEOUT)
    if not end_all(lambda: stack_processes(state_dir), grace=0, timeout=KILL_TIMEOUT):
        raise NotTheStackError(f"processes of {state_dir} do not end")
    return found


def require_stack(state_dir: Path) -> StackRecord:
    """The stack that runs in the state directory. Raises NotTheStackError."""
    record = StateDir(state_dir).read_record()
    if record is None or supervisor_of(state_dir) is None:
        raise NotTheStackError(
            f"no embedded stack runs in {state_dir}", remedy="start one with `evacuate up`, or name its --state-dir"
        )
    return record
