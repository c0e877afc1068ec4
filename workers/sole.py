"""One hypervisor has one worker, and that one worker has one memory."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from evacuation.errors import HostAlreadyServedError, HypervisorUnavailableError
from evacuation.ports import HostIdentity
from services.hypervisors.lasting import LastingMemory
from services.runtime.locks import LockHeldError, machine_lock
from workers.stuck import EXIT_CODE

log = structlog.stdlib.get_logger("worker")
Answer = TypeVar("Answer")
LOOK = 1.0
WAIT = 1.0


@asynccontextmanager
async def only_worker_there(me: HostIdentity, *, folder: Path | None) -> AsyncGenerator[None]:
    """Of this hypervisor, on this machine, whatever its name and its directory are; for as long as that one is there:
    then this process ends. Without a folder the host is nowhere, and remembers nothing.

    Raises HostAlreadyServedError."""
    if folder is None:
        yield
        return
    with ExitStack() as held:
        await asyncio.to_thread(held.enter_context, _lock(me))
        watch = asyncio.create_task(_end_when_forgetful(LastingMemory(folder, known=me.memory)))
        try:
            yield
        finally:
            watch.cancel()


@contextmanager
def _lock(me: HostIdentity) -> Generator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(machine_lock(f"evacuate-host-{me.hypervisor_uuid}", wait=WAIT))
        except LockHeldError as error:
            raise HostAlreadyServedError(
                f"hypervisor {me.hypervisor_uuid} has a worker already, by another name or with another directory",
                remedy="one hypervisor, one worker, one directory (EVACUATE_HOST_STATE_DIR): end the other worker",
            ) from error
        yield


async def _end_when_forgetful(memory: LastingMemory) -> None:
    """Ends this process. A worker whose directory is another than it began with has forgotten what was called off, and
    excludes nobody by its locks; the next one says so at its return."""
    while not await asyncio.to_thread(_is_forgotten, memory):
        await asyncio.sleep(LOOK)
    log.error("what the host remembered is not there any more: the worker replaces itself")
    os._exit(EXIT_CODE)


def _is_forgotten(memory: LastingMemory) -> bool:
    """What cannot be read now lets no operation on a guest begin until it can."""
    try:
        return memory.is_lost()
    except HypervisorUnavailableError:
        return False


async def patiently(ask: Callable[[], Answer], *, pause: float) -> Answer:
    """A hypervisor that does not answer yet is waited for."""
    while True:
        try:
            return await asyncio.to_thread(ask)
        except HypervisorUnavailableError as error:
            log.warning("the hypervisor does not answer, trying again", cause=error.line)
        await asyncio.sleep(pause)
