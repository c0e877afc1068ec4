#!/opt/evacuate/bin/python
"""Exit 0 when the worker that is this container's first process polls its queue; for a host worker that means that
its host came back and is in service. Any other first process is healthy for as long as it runs."""

import asyncio
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from evacuation import names
from services.runtime.settings import Settings
from services.runtime.temporal import connect

FRESH = timedelta(seconds=75)
"""A poll takes at most a minute."""


def served_queue(command: list[str]) -> str | None:
    """The queue of an `evacuate-worker` command line."""
    if not any(word.endswith("evacuate-worker") for word in command):
        return None
    return names.host_queue(command[command.index("--host") + 1]) if "--host" in command else names.CONTROL_QUEUE


async def polls(queue: str) -> bool:
    client = await connect(Settings())
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    answer = await client.workflow_service.describe_task_queue(request)
    oldest = datetime.now(UTC) - FRESH
    mine = f"/{socket.gethostname()}/1"
    return any(
        poller.identity.endswith(mine) and poller.last_access_time.ToDatetime(UTC) > oldest for poller in answer.pollers
    )


def main() -> None:
    queue = served_queue(Path("/proc/1/cmdline").read_text().split("\0"))
    if queue is not None and not asyncio.run(polls(queue)):
        sys.exit(f"nobody here polls {queue}")


if __name__ == "__main__":
    main()
