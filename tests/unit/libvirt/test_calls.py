"""Calls that do not return."""

import threading
from collections.abc import Iterator

import pytest

from evacuation.errors import HypervisorUnavailableError
from services.hypervisors.libvirt.calls import BoundedCalls


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Calls that wait for it hang until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_call_returns_what_it_found_or_raises_what_it_met() -> None:
    calls = BoundedCalls("cmp-1")
    assert calls.run("sum", lambda: 2 + 2, timeout=5) == 4
    with pytest.raises(ZeroDivisionError):
        calls.run("division", lambda: 1 / 0, timeout=5)


def test_timeout_of_the_call_itself_is_not_taken_for_ours() -> None:
    def late() -> None:
        raise TimeoutError("the server's own")

    with pytest.raises(TimeoutError, match="the server's own"):
        BoundedCalls("cmp-1").run("late", late, timeout=5)


def test_caller_is_answered_when_the_call_hangs(gate: threading.Event) -> None:
    with pytest.raises(HypervisorUnavailableError, match=r"define on cmp-1 did not answer in 0\.1 s"):
        BoundedCalls("cmp-1").run("define", gate.wait, timeout=0.1)


def test_caller_beats_while_it_waits(gate: threading.Event) -> None:
    def beat(progress: str) -> None:
        said.append(progress)
        gate.set()

    said: list[str] = []
    assert BoundedCalls("cmp-1").run("create", gate.wait, timeout=30, beat=beat)
    assert said == ["waiting for create"]


def test_calls_fail_at_once_when_every_place_hangs_and_go_on_when_one_returns(gate: threading.Event) -> None:
    calls = BoundedCalls("cmp-1", places=1)
    with pytest.raises(HypervisorUnavailableError):
        calls.run("first", gate.wait, timeout=0.01)
    with pytest.raises(HypervisorUnavailableError, match="too many calls"):
        calls.run("second", lambda: None, timeout=30)
    gate.set()
    while True:
        try:
            assert calls.run("third", lambda: "done", timeout=30) == "done"
            return
        except HypervisorUnavailableError:
            continue
