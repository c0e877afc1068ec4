"""Before a guest may start, every host that answers is asked whether it has it already."""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from temporalio import activity

from evacuation.errors import InstanceMisplacedError
from evacuation.messages import HostReport
from evacuation.model import PowerState

T = TypeVar("T")
PAUSE = 0.5
"""Seconds, times the time scale, before it is looked for again."""
Record = Callable[[Collection[str], Sequence[HostReport]], None]


class GuestFinder(Protocol):
    def find(self, instances: Collection[str], since: datetime) -> Sequence[HostReport]:
        """What every host that is up, and answers in a short time, has of these instances, in bounded time. What hosts
        said before the call counts if they have nothing of them, and said so at `since` or later."""
        ...


class _Nobody:
    """Without a client no host is asked."""

    def find(self, instances: Collection[str], since: datetime) -> Sequence[HostReport]:
        return ()


class Elsewhere:
    """`record` keeps what runs where no residence is; the store then refuses every start of that instance."""

    def __init__(
        self, record: Record | None = None, finder: GuestFinder | None = None, *, time_scale: float = 1.0
    ) -> None:
        self._record = record
        self._finder = finder or _Nobody()
        self._pause = PAUSE * time_scale

    def before(self, start: Callable[[], T], instance_id: str, since: datetime | None = None) -> T:
        """`start`, when every host has been asked. `since`: when the place that the guest may have left was proven
        empty: nothing can have left it after that. None: since this activity was asked for. Raises
        InstanceMisplacedError, and what `start` raises."""
        self._look(instance_id, since)
        return self.unless_over(start, instance_id)

    def unless_over(self, ask: Callable[[], T], instance_id: str) -> T:
        """What `ask` says, without a question to any host, as long as it does not refuse. What was seen elsewhere may
        be over: it is looked for once more. Raises InstanceMisplacedError, and what `ask` raises."""
        try:
            return ask()
        except InstanceMisplacedError:
            time.sleep(self._pause)
        self._look(instance_id, None)
        return ask()

    def _look(self, instance_id: str, since: datetime | None) -> None:
        """A host that does not answer is no obstacle."""
        if self._record is None:
            return
        reports = self._finder.find((instance_id,), since or activity.info().scheduled_time)
        running = [each for report in reports for each in report.guests if each.power_state is PowerState.RUNNING]
        if running or since is None:
            self._record((instance_id,), reports)
