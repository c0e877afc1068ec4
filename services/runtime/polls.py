"""When somebody asked for work of a task queue the last time, as Temporal remembers it for some minutes.

By the plain service: the whole client takes a command that only reads longer to load than what it reads."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import ConnectConfig, RPCError, ServiceClient

from services.runtime.settings import Settings
from services.runtime.temporal_address import connect_config, unavailable

AT_ONCE = 16
LONGEST = 2.0
"""Seconds for the connection, and again for all the looks."""
ONE = timedelta(seconds=1)

Polls = dict[str, datetime | None]


async def last_polls(settings: Settings, queues: Iterable[str]) -> Polls:
    """Of those that could be looked at in time; None: nobody that Temporal remembers. Raises
    TemporalUnavailableError."""
    address, config = connect_config(settings)
    where = ConnectConfig(
        target_host=address,
        api_key=config.get("api_key"),
        tls=config.get("tls"),
        rpc_metadata=config.get("rpc_metadata") or {},
    )
    try:
        service = await asyncio.wait_for(ServiceClient.connect(where), LONGEST)
    except (RuntimeError, TimeoutError, ValueError) as error:
        raise unavailable(address, error) from error
    looks = _Looks(service, config.get("namespace") or "default")
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST):
            await asyncio.gather(*map(looks.look, queues))
    if not looks.found and looks.refused is not None:
        raise unavailable(address, looks.refused)
    return looks.found


class _Looks:
    def __init__(self, service: ServiceClient, namespace: str) -> None:
        self._service = service
        self._namespace = namespace
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.found: Polls = {}
        self.refused: RPCError | None = None

    async def look(self, queue: str) -> None:
        request = DescribeTaskQueueRequest(
            namespace=self._namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        async with self._gate:
            try:
                answer = await self._service.workflow_service.describe_task_queue(request, timeout=ONE)
            except RPCError as error:
                self.refused = error
                return
        polls = [each.last_access_time.ToDatetime(UTC) for each in answer.pollers]
        self.found[queue] = max(polls, default=None)
