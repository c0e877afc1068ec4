"""The storage service: one daemon that exports volumes over NBD, kept running and as the store wants it."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import structlog

from evacuation.errors import EvacuateError, StateDirInUseError
from services.cloud.nbd import Exports, StorageService, exports_of
from services.runtime.locks import LockHeldError, file_lock
from services.runtime.settings import Settings
from services.sql import open_services

POLL = 0.5
LONGEST_PAUSE = 10.0

log = structlog.stdlib.get_logger("storage")


async def serve_storage(settings: Settings) -> None:
    """Until it is cancelled; the daemon runs on. Raises StoreUnavailableError, StoreSchemaError, StateDirInUseError,
    MalformedRequestError."""
    services = open_services(settings.store_url, settings.policy)
    try:
        exports = exports_of(settings, services)
        with _only_service(exports):
            await _keep(StorageService(exports))
    finally:
        services.close()


async def _keep(service: StorageService) -> None:
    pause = POLL
    serving = False
    while True:
        try:
            now = await asyncio.to_thread(service.look)
            pause = POLL
        except EvacuateError as error:
            log.error("the storage daemon does not run", cause=error.line)
            now, pause = False, min(pause * 2, LONGEST_PAUSE)
        if now and not serving:
            log.info("serving volumes")
        serving = now
        await asyncio.sleep(pause)


@contextmanager
def _only_service(exports: Exports) -> Generator[None]:
    try:
        with file_lock(exports.layout.service_lock, wait=1.0):
            yield
    except LockHeldError as error:
        raise StateDirInUseError(f"a storage service runs in {exports.layout.directory} already") from error
