"""The last look: does anybody still wait for this activity?"""

import asyncio
from datetime import timedelta

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError, Client

from evacuation.errors import NobodyWaitsError


class LastLook:
    """Asks the server, by task token, whether the running activity is still wanted.

    A worker that was frozen may run an activity long after its workflow gave it up; its own heartbeat would be
    throttled and its cancellation would come too late. Any error at all means: do not go on."""

    def __init__(self, client: Client, *, timeout: timedelta = timedelta(seconds=5), cancelled: bool = False) -> None:
        """`cancelled`: one whose cancellation is asked for is waited for all the same."""
        self._client = client
        self._timeout = timeout
        self._pardoned = (AsyncActivityCancelledError,) if cancelled else ()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> None:
        """Raises NobodyWaitsError."""
        handle = self._client.get_async_activity_handle(task_token=activity.info().task_token)
        beat = handle.heartbeat("last look", rpc_timeout=self._timeout)
        try:
            asyncio.run_coroutine_threadsafe(beat, self._loop).result(self._timeout.total_seconds() + 1)
        except self._pardoned:
            return
        except Exception as error:
            raise NobodyWaitsError(f"called off at the last look: {error}") from error
