"""Which machine a worker says that it is on."""

from pathlib import Path

import pytest

from services.hypervisors.machine import machine_id
from services.hypervisors.simulated.driver import SimulatedHypervisor

WRITTEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What /etc/machine-id says."""
    said = [f"{WRITTEN}\n"]
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: said[-1])
    return said


def test_machine_id_is_the_systems_when_none_is_named(written: list[str]) -> None:
    assert machine_id() == WRITTEN


def test_machine_id_is_the_one_that_was_named(written: list[str]) -> None:
    assert machine_id("rack-3") == "rack-3"
    assert SimulatedHypervisor("cmp-1", machine="rack-3").identity().machine_id == "rack-3"


@pytest.mark.parametrize("text", ["uninitialized\n", ""])
def test_machine_id_is_not_shared_by_all_images_when_the_system_has_written_none(written: list[str], text: str) -> None:
    written.append(text)
    assert machine_id() not in ("", "uninitialized")
