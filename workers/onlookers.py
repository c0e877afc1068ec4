"""The hosts' own workers are asked, all at once, for an activity that runs in a thread."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from datetime import timedelta
from uuid import uuid4

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities.onlooking import Boots
from evacuation import names
from evacuation.messages import AskHostsInput, HostAnswers, ProbeRequest
from services.runtime.settings import Settings
from workflows.ask_hosts import AskHosts
from workflows.engine.policies import PROBE

log = structlog.stdlib.get_logger("worker")
SOON, LEAST_SOON = 1.0, 0.3
"""Seconds for an answer, times the time scale, and at least: a worker that lives answers at once."""
LONG, LEAST_LONG = 3.0, 1.5
BEAT = 0.3


class AskingAround:
    """The port `AskAround`, by a workflow that all who ask the same at one time share. Who cannot ask at all goes on
    by what the power has shown, and says so."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._loop = asyncio.get_running_loop()

    def __call__(
        self, key: str, hosts: Sequence[ProbeRequest], *, patiently: bool, beat: Callable[[], None]
    ) -> Boots | None:
        if not hosts:
            return {}
        asked = asyncio.run_coroutine_threadsafe(self._ask(key, hosts, patiently=patiently), self._loop)
        try:
            answers = _await(asked, beat).answers
        except (RPCError, WorkflowFailureError) as error:
            log.warning("the hosts could not be asked who is there", about=key, cause=str(error))
            return None
        return {each.host: each.incarnation for each in answers if not each.silent}

    async def _ask(self, key: str, hosts: Sequence[ProbeRequest], *, patiently: bool) -> HostAnswers:
        seconds = self._seconds(patiently=patiently)
        tuning = self._settings.tuning.model_copy(update={"scale": seconds / PROBE.start_to_close})
        return await self._client.execute_workflow(
            AskHosts.run,
            AskHostsInput(hosts=tuple(hosts), tuning=tuning),
            id=names.ask_around_id(f"{key}/{uuid4()}" if patiently else key),
            task_queue=names.CONTROL_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            execution_timeout=timedelta(seconds=5 * seconds + 5),
            static_summary="who answers, while a power is cut?",
        )

    def _seconds(self, *, patiently: bool) -> float:
        usual, least = (LONG, LEAST_LONG) if patiently else (SOON, LEAST_SOON)
        return max(usual * self._settings.time_scale, least)


def _await(asked: "Future[HostAnswers]", beat: Callable[[], None]) -> HostAnswers:
    try:
        while not wait([asked], timeout=BEAT).done:
            beat()
        return asked.result()
    finally:
        asked.cancel()
