"""A host's worker keeps the store current about its host and its guests, through Temporal: it has no database."""

import asyncio
from collections.abc import Iterator, Sequence

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from evacuation import names
from evacuation.capabilities import HostCapabilities
from evacuation.errors import EvacuateError
from evacuation.messages import DefinedGuest, HypervisorReport, ReportHostInput, StoredDefinition
from evacuation.ports import Hypervisor, Reporter
from services.settings import Settings
from workers.serving import forever
from workflows.report_host import ReportHost

log = structlog.stdlib.get_logger("worker")
PART = 500_000
"""Characters of definitions in one message: a server refuses one of 2 MB."""
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


def _parts(guests: Sequence[DefinedGuest]) -> Iterator[tuple[DefinedGuest, ...]]:
    """At least one, which may be empty."""
    part: list[DefinedGuest] = []
    size = 0
    for guest in guests:
        length = len(guest.stored.definition or "")
        if part and size + length > PART:
            yield tuple(part)
            part, size = [], 0
        part.append(guest)
        size += length
    yield tuple(part)


async def keep_reporting(client: Client, settings: Settings, hypervisor: Hypervisor, host: str) -> None:
    """Never returns. A report that fails is made anew the next time."""
    reporter = reporter_of(settings, host)
    if reporter is None:
        await forever()
        return
    news = News()
    while True:
        try:
            report = await asyncio.to_thread(lambda: reporter.report(hypervisor.identity().incarnation))
            for part in news.of(report):
                await _tell(client, settings, part)
                news.told(part)
        except (EvacuateError, RPCError, WorkflowFailureError) as error:
            news.forget()
            log.warning("the report did not reach the store, trying again", cause=_cause(error))
        await asyncio.sleep(settings.report_interval * settings.time_scale)


def reporter_of(settings: Settings, host: str) -> Reporter | None:
    """None: a hypervisor of which there is nothing to report."""
    if settings.hypervisor != "libvirt":
        return None
    from services.hypervisors.libvirt.options import options_of
    from services.hypervisors.libvirt.report import LibvirtReporter

    return LibvirtReporter(options_of(settings, host))


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
