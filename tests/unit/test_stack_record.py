"""What a running stack is, as its state directory says."""

import os
from pathlib import Path

import pytest

from embedded.state import StateDir
from services.runtime.stack_record import StackRecord, read_record, settings_for

RECORD = StackRecord(
    version="0.1.0",
    temporal_address="127.0.0.1:7000",
    temporal_namespace="lab",
    ui_address=None,
    database_url="postgresql://evacuate:secret@127.0.0.1/evacuate",
    own_temporal=True,
)


def test_record_is_for_its_user_alone(tmp_path: Path) -> None:
    """The database's URL may have a password in it."""
    before = os.umask(0)
    try:
        StateDir(tmp_path).write_record(RECORD)
        StateDir(tmp_path).write_record(RECORD)
    finally:
        os.umask(before)
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
    assert read_record(tmp_path) == RECORD


def test_environment_comes_before_the_record_and_the_record_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StateDir(tmp_path).write_record(RECORD)
    monkeypatch.setenv("EVACUATE_TEMPORAL_NAMESPACE", "mine")
    found = settings_for(tmp_path)
    assert (found.temporal_address, found.temporal_namespace) == ("127.0.0.1:7000", "mine")
    assert found.store_url == RECORD.database_url
    assert settings_for(tmp_path / "another").temporal_address is None
