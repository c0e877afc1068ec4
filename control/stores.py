"""The state store as a whole: its schema, and for which control plane this one would write."""

from control.access import connect
from control.failures import answered
from services.runtime.settings import Settings
from services.runtime.temporal import namespace_id


def migrate(settings: Settings) -> None:
    """The schema is this release's; a new store is made. Raises StoreUnavailableError, StoreSchemaError."""
    from services.sql import migrate

    settings.state_dir.mkdir(parents=True, exist_ok=True)
    migrate(settings.store_url)


async def owner(settings: Settings) -> str:
    """The Temporal namespace's id. Raises TemporalUnavailableError."""
    client = await connect(settings)
    with answered():
        return await namespace_id(client)
