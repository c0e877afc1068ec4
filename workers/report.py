"""A host's worker keeps the store current about its host and its guests, through Temporal: it has no database."""

import asyncio
from collections.abc import Iterator, Sequence

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from evacuation import names
from evacuation.capabilities import HostCapabilities, Unreported
from evacuation.errors import EvacuateError
from evacuation.messages import DefinedGuest, HypervisorReport, ReportHostInput, StoredDefinition
from evacuation.ports import Hypervisor, Reporter
from evacuation.remarks import is_saved
from evacuation.texts import size
from services.runtime.settings import Settings
from workers.serving import forever
from workflows.report_host import ReportHost

log = structlog.stdlib.get_logger("worker")
PART = 500_000
"""Bytes of definitions in one message, as they are in JSON: a server refuses one of 2 MiB. One that is larger alone
goes alone."""
PART_GUESTS = 1000
"""In one message: what goes with each definition takes room, too."""
ABOUT_THE_MESSAGE = (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.RESOURCE_EXHAUSTED)
"""The server is there, and does not take this one."""
NAMED = 5
EVERYTHING_AFTER = 20
"""Rounds after which everything is reported again: a late older report, or another writer, is corrected by then."""


class News:
    """What of a report the store has not been told yet."""

    def __init__(self) -> None:
        self._capabilities: HostCapabilities | None = None
        self._told: dict[str, StoredDefinition] = {}
        self._rounds = 0

    def of(self, report: HypervisorReport) -> tuple[HypervisorReport, ...]:
        """In parts that are small enough; none: nothing is new."""
        self._rounds += 1
        if self._rounds > EVERYTHING_AFTER:
            self.forget()
        fresh = [each for each in report.guests if self._told.get(each.instance_id) != each.stored]
        if not fresh and self._capabilities == report.capabilities:
            return ()
        return tuple(report.model_copy(update={"guests": part}) for part in _parts(fresh))

    def told(self, part: HypervisorReport) -> None:
        self._capabilities = part.capabilities
        self._told |= {each.instance_id: each.stored for each in part.guests}

    def forget(self) -> None:
        self._capabilities, self._told, self._rounds = None, {}, 0


class LeftOut:
    """Names guests whose definitions cannot be reported: once, and again when they are others."""

    def __init__(self) -> None:
        self._named: tuple[Unreported, ...] = ()

    def tell(self, found: tuple[Unreported, ...]) -> None:
        for each in found:
            if each not in self._named:
                log.warning("a guest's definition is not reported", guest=each.name, cause=each.why)
        self._named = found


class Restless:
    """Names followed guests that could have been started, or gone on, by somebody else than us: each time again."""

    def __init__(self) -> None:
        self._named: frozenset[object] = frozenset()

    def tell(self, said: HostCapabilities) -> None:
        saved = [each for each in said.domains if is_saved(each)]
        for each in said.autostarts:
            if each not in self._named and each.why_not:
                log.warning("autostart of a followed guest cannot be put off", guest=each.name, cause=each.why_not)
            elif each not in self._named:
                log.warning("autostart of a followed guest was on and is off again", guest=each.name)
        for each in saved:
            if each.id not in self._named:
                log.warning("a followed guest has a managed save", guest=each.name)
        self._named = frozenset((*said.autostarts, *(each.id for each in saved)))


def _parts(guests: Sequence[DefinedGuest]) -> Iterator[tuple[DefinedGuest, ...]]:
    """At least one, which may be empty."""
    part: list[DefinedGuest] = []
    taken = 0
    for guest in guests:
        length = size(guest.stored.definition or "")
        if part and (taken + length > PART or len(part) == PART_GUESTS):
            yield tuple(part)
            part, taken = [], 0
        part.append(guest)
        taken += length
    yield tuple(part)


async def keep_reporting(client: Client, settings: Settings, hypervisor: Hypervisor, reporter: Reporter | None) -> None:
    """Never returns. A report that fails is made again the next time. None: there is nothing to report."""
    if reporter is None:
        await forever()
        return
    news, left, restless = News(), LeftOut(), Restless()
    while True:
        try:
            report = await asyncio.to_thread(lambda: reporter.report(hypervisor.identity().incarnation))
            left.tell(report.capabilities.unreported)
            restless.tell(report.capabilities)
            for part in news.of(report):
                if await _is_told(client, settings, part):
                    news.told(part)
        except (EvacuateError, RPCError, WorkflowFailureError) as error:
            news.forget()
            log.warning("the report did not reach the store, trying again", cause=_cause(error))
        await asyncio.sleep(settings.report_interval * settings.time_scale)


async def _is_told(client: Client, settings: Settings, part: HypervisorReport) -> bool:
    """False: this one is not taken, for its own sake, and is named. The others are not kept back for it."""
    try:
        await _tell(client, settings, part)
        return True
    except RPCError as error:
        if error.status not in ABOUT_THE_MESSAGE:
            raise
        guests = [each.instance_id for each in part.guests[:NAMED]]
        log.warning("a part of the report is not taken", guests=guests, of=len(part.guests), cause=_cause(error))
        return False


async def _tell(client: Client, settings: Settings, part: HypervisorReport) -> None:
    """A report that still runs is older than this one, which replaces it."""
    handle = await client.start_workflow(
        ReportHost.run,
        ReportHostInput(report=part, tuning=settings.tuning),
        id=names.report_host_id(part.host),
        task_queue=names.CONTROL_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        static_summary=f"{part.host} reports",
    )
    recorded = await handle.result()
    log.info("reported", definitions=len(part.guests), changed=recorded.changed)


def _cause(error: Exception) -> str:
    return error.line if isinstance(error, EvacuateError) else str(getattr(error, "cause", None) or error)
