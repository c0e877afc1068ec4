"""What fails again and again, for the commands that show a person how things stand."""

import asyncio

from cli.output import say
from control.retries import retries_about
from evacuation.errors import TemporalUnavailableError
from evacuation.views import InstanceView, ShownInstance
from services.runtime.settings import Settings


def shown(settings: Settings, instance: InstanceView) -> ShownInstance:
    """With what fails again and again of an evacuation or a deletion of it, where Temporal can say so."""
    try:
        found = asyncio.run(retries_about(settings, instance))
    except TemporalUnavailableError as error:
        say(f"not asked what fails again and again: {error.message}")
        found = ()
    return ShownInstance(**dict(instance), retrying=found)
