"""One activity call: a policy, a queue, and a summary that a person reads in the Web UI."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from evacuation.messages import Tuning
from evacuation.names import CONTROL_QUEUE
from workflows.engine.policies import Policy

M = TypeVar("M")
T = TypeVar("T")


async def call(
    activity: Callable[[Any, M], T],
    message: M,
    *,
    policy: Policy,
    tuning: Tuning,
    about: str,
    queue: str = CONTROL_QUEUE,
    deadline: timedelta | None = None,
) -> T:
    """The activity's result; `deadline` instead of the policy's own. Raises ActivityError, CancelledError."""
    config = policy.config(tuning)
    config["task_queue"] = queue
    config["summary"] = about
    if deadline is not None:
        config["schedule_to_close_timeout"] = deadline
    return await workflow.execute_activity_method(activity, message, **config)
