"""Undoing: a stack of compensations, and the shield under which the whole of it runs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Compensation = Callable[[], Awaitable[None]]


class Compensations:
    """Pushed *before* the step that each undoes; unwound in reverse. A name is pushed once."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, Compensation]] = []

    def push(self, name: str, undo: Compensation) -> None:
        if name not in self.names:
            self._stack.append((name, undo))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._stack)

    async def unwind(self) -> None:
        """Each one until it holds; what is done is off the stack."""
        while self._stack:
            await self._stack[-1][1]()
            self._stack.pop()


class Shield:
    """Runs work that a cancel must not tear; remembers the cancel, which reaches a workflow's coroutine once."""

    def __init__(self) -> None:
        self.cancel_came = False

    async def run(self, work: Coroutine[Any, Any, T], *, pass_on: bool = False) -> T:
        """The work's result, however often a cancel arrives meanwhile. `pass_on`: the work is told of the cancel,
        and decides itself whether it still succeeds."""
        task = asyncio.create_task(work)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                # The shield was cancelled, not the task: note it and wait on.
                if task.cancelled():
                    raise
                self.cancel_came = True
                if pass_on:
                    task.cancel()
        return task.result()
