"""A state directory with a store and no processes: enough for everything that is refused before anything starts; and
with a namespace on a Temporal server, for what becomes of commands that no control worker answers."""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from embedded.namespace import wait_until_ready
from embedded.stack import DEFAULT_FLEET
from embedded.state import StateDir
from services.runtime.fleet_file import read_fleet
from services.runtime.stack_record import settings_for
from services.sql import migrate, open_services
from starter import run
from tests.support.stack import Answer

NOBODY = "127.0.0.1:1"
"""A port that nobody listens on."""

Command = Callable[..., Answer]


@contextmanager
def selected(path: Path, **environment: str) -> Iterator[StateDir]:
    """The state directory is selected, by the environment; the environment is as before afterwards."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("EVACUATE_", "TEMPORAL_"))]:
        del os.environ[name]
    os.environ.update(environment | {"EVACUATE_STATE_DIR": str(path)})
    try:
        yield StateDir(path)
    finally:
        os.environ.clear()
        os.environ.update(before)


def called(*words: str) -> Answer:
    """A command, in this process."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(list(words))
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    """The selected state directory."""
    with selected(tmp_path / "state", EVACUATE_TEMPORAL_ADDRESS=NOBODY) as state:
        yield state


@pytest.fixture
def evacuate(state: StateDir) -> Command:
    return called


@pytest.fixture
def store(state: StateDir) -> StateDir:
    """The default fleet is in the store; nothing runs."""
    _load(state)
    return state


@pytest.fixture
def unserved(temporal: str, tmp_path: Path) -> Iterator[StateDir]:
    """The same, with a namespace that has no worker."""
    with unserved_at(temporal, tmp_path / "unserved") as state:
        yield state


@contextmanager
def unserved_at(temporal: str, path: Path) -> Iterator[StateDir]:
    where = {"EVACUATE_TEMPORAL_ADDRESS": temporal, "EVACUATE_TEMPORAL_NAMESPACE": f"t-{uuid.uuid4().hex[:12]}"}
    with selected(path, **where) as state:
        _load(state)
        asyncio.run(wait_until_ready(settings_for(), timeout=20))
        yield state


def _load(state: StateDir) -> None:
    state.path.mkdir()
    url = f"sqlite:///{state.store}"
    migrate(url)
    services = open_services(url)
    services.fleet.load(read_fleet(DEFAULT_FLEET))
    services.close()
