"""Work that fails again and again: it goes on, and is shown to a person."""

from datetime import datetime

from evacuation.model import Frozen

TOLD_AFTER = 5
"""Failures in a row after which a step, or its undoing, is shown with its last cause. With the usual pauses that is six
seconds: a store or a service that was restarted is back by then."""


class Retrying(Frozen):
    """One activity of one workflow. `evacuation_id` and `instance` None: it is no evacuation's, or no instance's."""

    evacuation_id: str | None = None
    instance: str | None = None
    activity: str
    times: int
    last_error: str
    since: datetime

    @property
    def line(self) -> str:
        """The same for every look, as long as the cause is."""
        return f"{self.activity} fails again and again, and is tried on: {self.last_error}"
