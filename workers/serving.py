"""One task queue, served by a Temporal worker with this project's options."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.worker import Interceptor, PollerBehaviorSimpleMaximum, Worker

from activities.failures import Boot, FailureInterceptor
from evacuation.errors import TemporalUnavailableError
from evacuation.model import build_values
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from workers.stuck import Running, end_when_stuck
from workflows.engine.sandbox import RUNNER

log = structlog.stdlib.get_logger("worker")


def interceptors(settings: Settings, host: str | None, boot: Boot | None) -> Sequence[Interceptor]:
    """Errors become what Temporal carries; in tests, faults come from a file."""
    if settings.faults is None:
        return [FailureInterceptor(boot)]
    from embedded.faults import FaultInterceptor
    from embedded.subjects import Subjects

    subjects = Subjects(settings.state_dir / "names.json", host=host)
    return [
        FailureInterceptor(boot),
        FaultInterceptor(settings.faults, strikes=settings.state_dir / "strikes", subjects=subjects),
    ]


@asynccontextmanager
async def serving(
    client: Client,
    settings: Settings,
    *,
    queue: str,
    activities: Sequence[Callable[..., object]],
    slots: int,
    pollers: int,
    host: str | None = None,
    boot: Boot | None = None,
    workflows: Sequence[type] = (),
) -> AsyncGenerator[None]:
    """One queue served by threads of its own, as many as it has slots."""
    build_values()
    running = Running()
    with ThreadPoolExecutor(slots, thread_name_prefix=queue) as executor:
        worker = Worker(
            client,
            task_queue=queue,
            activities=activities,
            workflows=workflows,
            workflow_runner=RUNNER,
            activity_executor=executor,
            interceptors=[running, *interceptors(settings, host, boot)],
            max_concurrent_activities=slots,
            max_cached_workflows=settings.control_cached_workflows,
            max_concurrent_workflow_tasks=settings.control_workflow_tasks if workflows else None,
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(pollers),
            workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(max(2, pollers)),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=10 * settings.time_scale),
            graceful_shutdown_timeout=settings.grace,
            max_heartbeat_throttle_interval=timedelta(seconds=2 * settings.time_scale),
            default_heartbeat_throttle_interval=timedelta(seconds=1 * settings.time_scale),
            identity=f"{host or 'control'}/{socket.gethostname()}/{os.getpid()}",
        )
        watch = asyncio.create_task(end_when_stuck(running, slots=slots, queue=queue))
        try:
            async with worker:
                yield
        finally:
            watch.cancel()


async def connect_patiently(settings: Settings) -> Client:
    """A worker outlives a restart of Temporal: it tries for as long as it takes, and says so."""
    pause = 0.5
    while True:
        try:
            return await connect(settings)
        except TemporalUnavailableError as error:
            log.warning("Temporal not reachable, trying again", cause=error.message, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5)


async def forever() -> None:
    await asyncio.Event().wait()
