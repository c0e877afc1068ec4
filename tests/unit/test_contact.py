"""A worker notices that it was out of sight: only when it is back, and only if it was away for long enough."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workers import contact


class Clock:
    """Seconds pass with the looks alone; `silent` are those in which Temporal does not answer, `frozen` how long the
    process is stopped before each look."""

    def __init__(self, *, silent: range = range(0), frozen: dict[int, float] | None = None) -> None:
        self.now = 0.0
        self.looks = 0
        self._silent = silent
        self._frozen = frozen or {}

    async def sleep(self, seconds: float) -> None:
        self.looks += 1
        if self.looks > 50:
            raise TimeoutError("it notices nothing")
        self.now += seconds + self._frozen.get(self.looks, 0.0)

    async def get_system_info(self, *_: Any, **__: Any) -> None:
        if int(self.now) in self._silent:
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    @property
    def client(self) -> Client:
        return cast("Client", SimpleNamespace(workflow_service=self))


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Any:
    def let_pass(clock: Clock) -> Clock:
        monkeypatch.setattr(contact, "_now", lambda: clock.now)
        monkeypatch.setattr(contact.asyncio, "sleep", clock.sleep)
        return clock

    return let_pass


@pytest.mark.parametrize("clock", [Clock(silent=range(10, 40)), Clock(frozen={5: 30.0})], ids=["cut off", "frozen"])
def test_long_absence_is_noticed_once_it_is_over(passing: Any, clock: Clock):
    silence = asyncio.run(contact.until_back(passing(clock).client, 1.0))
    assert 30 <= silence <= 30 + 2 * contact.LOOK
    assert clock.now >= 40


@pytest.mark.parametrize("clock", [Clock(), Clock(silent=range(10, 12)), Clock(frozen={5: 2.0})])
def test_short_silence_is_nothing(passing: Any, clock: Clock):
    with pytest.raises(TimeoutError, match="notices nothing"):
        asyncio.run(contact.until_back(passing(clock).client, 1.0))


def test_absence_scales_with_the_timeouts_but_not_below_what_a_busy_machine_is_late(passing: Any):
    assert asyncio.run(contact.until_back(passing(Clock(silent=range(2, 4))).client, 0.1)) >= contact.LEAST[1]
