"""Guests that libvirt calls active and that do not go on: crashed and preserved, paused by an I/O error, migrating."""

from collections.abc import Iterator
from typing import Any

import pytest

from evacuation.errors import SpawnFailedError
from evacuation.model import PowerState
from services.hypervisors.libvirt.api import state_word
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from tests.integration.hypervisors.worlds import INSTANCE, LibvirtWorld, call, spawn, spec

CRASHED, CRASHED_SINCE = (6, 1), (3, 10)
"""As libvirt tells a guest that panicked and is preserved; a libvirtd that was started again may tell it otherwise."""
IO_ERROR, MIGRATING, POSTCOPY, ASLEEP = (3, 5), (3, 2), (3, 12), (7, 1)
SHUT_DOWN = PowerState.SHUTDOWN


class Stricken:
    """A driver whose guest is active in libvirt's own test driver, and told in the state of `strike`."""

    def __init__(self, driver: LibvirtHypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.driver = driver
        self.asked: list[str] = []
        self._state: tuple[int, int] | None = None
        self._ends_with: tuple[str, ...] = ()
        self._run = driver._connection.run
        monkeypatch.setattr(driver._connection, "run", self.run)

    def strike(self, state: tuple[int, int], *ends_with: str) -> None:
        """Until one of these calls was made; a destroy ends it in any case."""
        self._state, self._ends_with, self.asked = state, (*ends_with, "destroy"), []

    def run(self, what: str, *given: Any, **more: Any) -> Any:
        if what in ("create", "destroy", "resume", "suspend", "undefine"):
            self.asked.append(what)
        if what in self._ends_with:
            self._state = None
        # libvirt's own test driver has no guest that it could resume.
        struck = what in ("resume", "suspend") and bool(self._ends_with)
        answer = None if struck else self._run(what, *given, **more)
        if self._state is None or what not in ("find", "all"):
            return answer
        found = answer if isinstance(answer, list) else [answer]
        for each in found:
            if each is not None and each["active"]:
                each["state"], each["reason"] = self._state
        return answer


@pytest.fixture
def stricken(libvirt_world: LibvirtWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stricken]:
    monkeypatch.setattr("services.hypervisors.libvirt.driver.PAUSE_WAIT", 0.05)
    monkeypatch.setattr("services.hypervisors.libvirt.guests.GOES_ON", 0.05)
    made = Stricken(libvirt_world.hypervisor("cmp-1"), monkeypatch)
    spawn(made.driver, spec(1))
    yield made


@pytest.mark.parametrize("state", [CRASHED, CRASHED_SINCE])
def test_crashed_guest_is_not_told_as_one_that_goes_on(stricken: Stricken, state: tuple[int, int]) -> None:
    stricken.strike(state)
    (told,) = stricken.driver.inventory()
    assert told.paused


@pytest.mark.parametrize("state", [CRASHED, CRASHED_SINCE])
def test_crashed_guest_is_destroyed_and_started_again(stricken: Stricken, state: tuple[int, int]) -> None:
    stricken.strike(state)
    spawn(stricken.driver, spec(1))
    assert stricken.asked == ["destroy", "create"], "its definition stays: nothing may be lost when this dies between"
    (told,) = stricken.driver.inventory()
    assert (told.epoch, told.power_state, told.paused) == (1, PowerState.RUNNING, False)


def test_crashed_guest_that_is_wanted_stopped_ends(stricken: Stricken) -> None:
    stricken.strike(CRASHED)
    spawn(stricken.driver, spec(1, power_state=SHUT_DOWN))
    (told,) = stricken.driver.inventory()
    assert told.power_state is SHUT_DOWN


def test_crashed_guest_is_settled_as_gone(stricken: Stricken) -> None:
    stricken.strike(CRASHED)
    assert not stricken.driver.settle(call(1))
    assert stricken.driver.inventory() == ()


@pytest.mark.parametrize(
    ("state", "says"),
    [(CRASHED, "crashed on cmp-2"), (IO_ERROR, "paused by an I/O error on cmp-2")],
    ids=["crash", "i/o"],
)
def test_guest_that_stops_for_good_while_it_boots_is_not_waited_for(
    libvirt_world: LibvirtWorld, monkeypatch: pytest.MonkeyPatch, state: tuple[int, int], says: str
) -> None:
    options = libvirt_world.options("cmp-2", signal="serial", signal_timeout=20.0)
    stricken = Stricken(LibvirtHypervisor(options), monkeypatch)

    def beat(progress: str) -> None:
        if progress.startswith("waiting for a console"):
            stricken.strike(state)

    with pytest.raises(SpawnFailedError, match=says):
        stricken.driver.spawn(spec(1), last_look=lambda: None, beat=beat)
    assert stricken.driver.inventory() == ()


def test_guest_that_an_io_error_stopped_is_resumed_and_must_go_on(stricken: Stricken) -> None:
    """QEMU tries its request again when it is resumed: it goes on where there is room by now."""
    stricken.strike(IO_ERROR, "resume")
    spawn(stricken.driver, spec(1))
    assert stricken.asked == ["resume"]


def test_guest_that_an_io_error_stops_again_is_named_and_left_as_it_is(stricken: Stricken) -> None:
    """Nobody may say that it runs; and what is in its memory is not thrown away."""
    stricken.strike(IO_ERROR)
    with pytest.raises(SpawnFailedError, match=r"web-01 is paused by an I/O error on cmp-1") as caught:
        spawn(stricken.driver, spec(1))
    assert "room" in caught.value.remedy
    assert stricken.asked == ["resume"]
    (told,) = stricken.driver.inventory()
    assert told.paused


def test_guest_that_an_io_error_stopped_is_not_settled_as_up(stricken: Stricken) -> None:
    stricken.strike(IO_ERROR)
    assert not stricken.driver.settle(call(1))


def test_guest_that_put_itself_to_sleep_is_left_asleep(stricken: Stricken) -> None:
    """libvirt refuses to resume it; it wakes up by itself."""
    stricken.strike(ASLEEP)
    spawn(stricken.driver, spec(1))
    assert stricken.asked == []


@pytest.mark.parametrize("state", [MIGRATING, POSTCOPY])
def test_guest_that_migrates_is_not_resumed(stricken: Stricken, state: tuple[int, int]) -> None:
    """Its other half may run."""
    stricken.strike(state)
    with pytest.raises(SpawnFailedError, match="is being migrated") as caught:
        spawn(stricken.driver, spec(1))
    assert "domjobabort" in caught.value.remedy
    assert stricken.asked == []


@pytest.mark.parametrize("state", [MIGRATING, POSTCOPY])
def test_guest_that_migrates_is_not_taken_for_paused(stricken: Stricken, state: tuple[int, int]) -> None:
    """It goes on by itself when its migration ends."""
    stricken.strike(state)
    with pytest.raises(SpawnFailedError, match="does not pause"):
        stricken.driver.pause(INSTANCE, 1)


def test_guest_that_an_io_error_stopped_is_as_good_as_paused(stricken: Stricken) -> None:
    stricken.strike(IO_ERROR)
    stricken.driver.pause(INSTANCE, 1)
    assert stricken.asked == []


@pytest.mark.parametrize(
    ("state", "word"),
    [(CRASHED_SINCE, "crashed"), (IO_ERROR, "paused by an I/O error"), (POSTCOPY, "migrating"), ((3, 13), "migrating")],
)
def test_state_is_told_with_its_cause(state: tuple[int, int], word: str) -> None:
    assert state_word(*state) == word
