"""The ways from whoever asks to the world: settings, the store, Temporal. Each is imported where it is needed only."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from evacuation.errors import StoreUnavailableError

if TYPE_CHECKING:
    from temporalio.client import Client

    from services.runtime.settings import Settings
    from services.sql import SqlServices

LONGEST_NAME = 64


def settings() -> "Settings":
    """The environment's, completed from the selected stack."""
    from services.runtime.stack_record import settings_for

    return settings_for()


@contextmanager
def open_store() -> Generator["SqlServices"]:
    """Raises StoreUnavailableError, StoreSchemaError."""
    from services.sql import open_services

    url = settings().store_url
    _require_file(url)
    services = open_services(url)
    try:
        yield services
    finally:
        services.close()


def open_evacuation(instance_id: str) -> str | None:
    """The id of the evacuation of it that is open in the store."""
    with open_store() as services:
        return next((row.id for row in services.views.evacuations_of(instance_id) if row.open), None)


def _require_file(url: str) -> None:
    """A command that reads never makes an empty database."""
    from pathlib import Path

    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        raise StoreUnavailableError(
            f"there is no state store at {url.removeprefix('sqlite:///')}",
            remedy="start a stack with `evacuate up`, name its --state-dir, or set EVACUATE_DATABASE_URL",
        )


async def connect(settings: "Settings") -> "Client":
    """Nothing but what the command prints gets to stdout. Raises TemporalUnavailableError."""
    from services.runtime.temporal import connect

    silence_client()
    return await connect(settings)


@cache
def silence_client() -> None:
    """The client's core says on stdout, where the one JSON document is to be, how often it has tried again."""
    from temporalio.runtime import Runtime, TelemetryConfig

    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)), error_if_already_set=False)


def operator() -> str:
    """Who asks, as far as the system knows it."""
    from getpass import getuser

    return getuser().encode("utf-8", "replace").decode()[:LONGEST_NAME]
