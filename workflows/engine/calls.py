"""One activity call: a policy, a queue, and a summary that a person reads in the Web UI."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from evacuation.messages import Tuning
from evacuation.names import CONTROL_QUEUE
from workflows.engine.policies import MUST_HOLD, Policy

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


async def held(activity: Callable[[Any, M], T], message: M, *, tuning: Tuning, about: str) -> T:
    """The result of a control activity that is repeated until it holds. Raises ActivityError where its error says that
    no repetition changes it, CancelledError."""
    return await call(activity, message, policy=MUST_HOLD, tuning=tuning, about=about)
