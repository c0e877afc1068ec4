"""Named timeouts and retries: what each is for is in docs/design.md#timeouts-and-retries. `Tuning.scale` multiplies all
of them."""

from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig

from evacuation.errors import DestinationBusyError
from evacuation.messages import Tuning


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


ONCE = RetryPolicy(maximum_attempts=1)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Durations in seconds at scale 1. `deadline` bounds all attempts together (schedule-to-close)."""

    start_to_close: float
    deadline: float | None = None
    schedule_to_start: float | None = None
    heartbeat: float | None = None
    first_retry: float = 0.2
    last_retry: float = 5
    once: bool = False
    final: tuple[str, ...] = ()
    """Types of failures that are not tried again here."""
    wait_for_cancel: bool = False

    def config(self, tuning: Tuning) -> ActivityConfig:
        scale = tuning.scale
        config = ActivityConfig(
            start_to_close_timeout=_seconds(self.start_to_close * scale),
            retry_policy=ONCE if self.once else self._retries(scale),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
            if self.wait_for_cancel
            else ActivityCancellationType.TRY_CANCEL,
        )
        if self.deadline is not None:
            config["schedule_to_close_timeout"] = _seconds(self.deadline * scale)
        if self.schedule_to_start is not None:
            config["schedule_to_start_timeout"] = _seconds(self.schedule_to_start * scale)
        if self.heartbeat is not None:
            config["heartbeat_timeout"] = _seconds(self.heartbeat * scale)
        return config

    def _retries(self, scale: float) -> RetryPolicy:
        return RetryPolicy(
            initial_interval=_seconds(self.first_retry * scale),
            backoff_coefficient=2,
            maximum_interval=_seconds(self.last_retry * scale),
            non_retryable_error_types=self.final or None,
        )


CONTROL = Policy(start_to_close=10, deadline=300)
"""Control activities: store and services."""

AUTHORIZE = replace(CONTROL, final=(DestinationBusyError.__name__,))
"""A cap that is reached is waited for by the workflow, in the open."""

FENCE = Policy(start_to_close=60, deadline=300, heartbeat=10, first_retry=1, last_retry=15, wait_for_cancel=True)

HOST = Policy(start_to_close=20, schedule_to_start=15, heartbeat=None, once=True)
"""Short calls on a host. One attempt: only so does a schedule-to-start timeout prove that nothing ran."""

SPAWN = Policy(start_to_close=120, schedule_to_start=15, heartbeat=10, once=True, wait_for_cancel=True)

PROBE = Policy(start_to_close=3, deadline=3, once=True)

LIVE = Policy(schedule_to_start=3, start_to_close=10, once=True)
"""What runs on a host, read now. Who is not there is given up soon; a thousand guests take their time."""

LOOK = Policy(start_to_close=60, deadline=90, once=True)
"""Reading a power for a person: a BMC may take as long as it does in a fence."""

WAIT_FOR_CAPACITY = Policy(start_to_close=10, first_retry=0.5, last_retry=15)
"""Its deadline is the request's."""

MUST_HOLD = Policy(start_to_close=20, first_retry=0.2, last_retry=15)
"""What has to be so in the end, whatever it takes: undoing, closing, and what a host that comes back is told."""

ALARM_AFTER = 600.0
"""Seconds after which work without end raises an alarm, where Temporal does not repeat it by itself. It goes on."""
