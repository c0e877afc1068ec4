"""Undoing in reverse, and the shield that a cancel does not tear."""

import asyncio
from collections.abc import Callable

import pytest

from workflows.engine.compensation import Compensations, Shield


class Record:
    """Compensations that say when they ran; one of them fails as often as told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures_left = 0

    def undo(self, name: str, *, failing: bool = False):
        async def run() -> None:
            if failing and self.failures_left:
                self.failures_left -= 1
                raise RuntimeError(name)
            self.done.append(name)

        return run


async def test_compensations_run_in_reverse_and_leave_nothing():
    record, stack = Record(), Compensations()
    for name in ("capacity", "network", "volumes"):
        stack.push(name, record.undo(name))
    await stack.unwind()
    await stack.unwind()
    assert (record.done, stack.names) == (["volumes", "network", "capacity"], ())


async def test_compensation_runs_once_when_it_is_pushed_twice():
    record, stack = Record(), Compensations()
    stack.push("network", record.undo("network"))
    stack.push("network", record.undo("network"))
    await stack.unwind()
    assert record.done == ["network"]


async def test_compensation_that_fails_stays_with_all_below_it_when_the_unwinding_is_repeated():
    record, stack = Record(), Compensations()
    record.failures_left = 1
    for name in ("capacity", "network", "volumes"):
        stack.push(name, record.undo(name, failing=name == "network"))
    with pytest.raises(RuntimeError, match="network"):
        await stack.unwind()
    assert stack.names == ("capacity", "network")
    await stack.unwind()
    assert record.done == ["volumes", "network", "capacity"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def cancel(task: asyncio.Task[str], shield: Shield) -> None:
    """One cancel, and it has arrived."""
    shield.cancel_came = False
    task.cancel()
    await until(lambda: shield.cancel_came)


async def test_shield_returns_what_the_work_returns():
    shield = Shield()
    assert await shield.run(asyncio.sleep(0, "done")) == "done"
    assert not shield.cancel_came


async def test_shield_raises_what_the_work_raises():
    async def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await Shield().run(fail())


async def test_shield_finishes_the_work_and_remembers_the_cancel_however_often_it_comes():
    shield, go = Shield(), asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "done"

    task = asyncio.create_task(shield.run(work()))
    await asyncio.sleep(0)
    for _ in range(3):
        await cancel(task, shield)
    go.set()
    assert await task == "done"
    assert shield.cancel_came


async def test_shield_raises_the_failure_of_the_work_also_after_a_cancel():
    shield, go = Shield(), asyncio.Event()

    async def work() -> str:
        await go.wait()
        raise RuntimeError("broken")

    task = asyncio.create_task(shield.run(work()))
    await asyncio.sleep(0)
    await cancel(task, shield)
    go.set()
    with pytest.raises(RuntimeError, match="broken"):
        await task


async def test_shield_passes_a_cancel_on_and_lets_the_work_succeed_all_the_same():
    shield, told = Shield(), asyncio.Event()

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.set()
            await asyncio.sleep(0)
        return "done"

    task = asyncio.create_task(shield.run(work(), pass_on=True))
    await asyncio.sleep(0)
    await cancel(task, shield)
    assert await task == "done"
    assert told.is_set() and shield.cancel_came


async def test_shield_raises_the_cancel_when_the_work_that_was_told_gives_up():
    shield = Shield()

    async def work() -> str:
        await asyncio.Event().wait()
        return "never"

    task = asyncio.create_task(shield.run(work(), pass_on=True))
    await asyncio.sleep(0)
    await cancel(task, shield)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_shield_remembers_a_cancel_that_comes_with_the_result():
    shield, go = Shield(), asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "done"

    task = asyncio.create_task(shield.run(work()))
    await asyncio.sleep(0)
    go.set()
    task.cancel()
    assert await task == "done"
    assert shield.cancel_came
