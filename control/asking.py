"""Hosts are asked through a control worker: whether one is there, and what all of them have."""

import asyncio
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from uuid import uuid4

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from evacuation import names
from evacuation.errors import ErrorDetail, HostFailingError, NotReadyError, TemporalUnavailableError
from evacuation.messages import AskHostsInput, HostAnswer, HostAnswers, HostReport, ProbeRequest
from evacuation.request import MOST_OF_AN_ERROR
from services.runtime.settings import Settings

PROBE_TIMEOUT = timedelta(seconds=15)
LONGEST = 10.0
"""Seconds for all of them, times the time scale: who has not answered by then is no witness."""
PAGE, PAGE_WITH_GUESTS = 100, 4
"""Hosts that one workflow asks: all that they say of their guests goes into one message."""
SLOWER = 3
"""Times as long, where a person waits for what runs on every host."""


async def ask_host(client: Client, host: str, *, doubted: bool = False) -> HostReport | None:
    """The report of the host's own worker, or None: nobody answers. Raises HostFailingError (it answers with an error,
    and with the boot that it is, if it knows), NotReadyError, TemporalUnavailableError."""
    try:
        return await client.execute_workflow(
            names.PROBE_HOST,
            ProbeRequest(host=host, hypervisor_uuid=None, doubted=doubted),
            id=f"probe-host/{host}/{uuid4()}",
            task_queue=names.CONTROL_QUEUE,
            static_summary=f"is {host} there?",
            execution_timeout=PROBE_TIMEOUT,
            result_type=cast("type[HostReport]", HostReport | None),
        )
    except WorkflowFailureError as error:
        if isinstance(error.cause, ApplicationError):
            raise _failing(host, error.cause) from error
        raise NotReadyError("no control worker answers", remedy="start one: evacuate-worker control") from error
    except RPCError as error:
        raise TemporalUnavailableError(f"Temporal does not answer: {error}") from error


def _failing(host: str, cause: ApplicationError) -> HostFailingError:
    said = next((ErrorDetail.model_validate(each) for each in cause.details if isinstance(each, dict)), None)
    message = said.message if said else cause.message
    error = HostFailingError(f"{host} answers with an error ({cause.type}: {message[:MOST_OF_AN_ERROR]})")
    error.incarnation = said.incarnation if said else None
    return error


async def ask_hosts(
    client: Client,
    settings: Settings,
    requests: Sequence[ProbeRequest],
    *,
    guests: bool,
    asker: str | None = None,
    within: float | None = None,
) -> tuple[HostAnswer, ...]:
    """An answer for each, a page of them at a time. `asker`: who asks again ends its questions before; `within`:
    seconds for one host. Raises RPCError; WorkflowFailureError: no control worker serves."""
    pages = pages_of(requests, guests=guests)
    longest = LONGEST * (SLOWER if guests else 1)
    asking = (
        ask_page(client, settings, n, page, guests=guests, longest=longest, asker=asker, within=within)
        for n, page in enumerate(pages)
    )
    return tuple(each for page in await asyncio.gather(*asking) for each in page)


def pages_of(requests: Sequence[ProbeRequest], *, guests: bool) -> list[Sequence[ProbeRequest]]:
    page = PAGE_WITH_GUESTS if guests else PAGE
    return [requests[first : first + page] for first in range(0, len(requests), page)]


async def ask_page(
    client: Client,
    settings: Settings,
    number: int,
    page: Sequence[ProbeRequest],
    *,
    guests: bool,
    longest: float,
    asker: str | None = None,
    within: float | None = None,
) -> tuple[HostAnswer, ...]:
    """`longest`: seconds, times the time scale. `number`: no other page of this asker has it. As `ask_hosts`."""
    asker = asker or f"{socket.gethostname()}-{os.getpid()}"
    answers = await client.execute_workflow(
        names.ASK_HOSTS,
        AskHostsInput(hosts=tuple(page), guests=guests, within=within, tuning=settings.tuning),
        id=names.ask_hosts_id(asker, number),
        task_queue=names.CONTROL_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        execution_timeout=timedelta(seconds=longest * max(settings.time_scale, 0.5)),
        result_type=HostAnswers,
        static_summary="what runs on the hosts?" if guests else "what have the hosts seen of the store?",
    )
    return answers.answers
