"""The worker of one compute host. It needs the hypervisor only: no database, no cloud credentials."""

import asyncio
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.guest import GuestActivities
from activities.identity import Boot
from activities.liveness import LastLook
from activities.probe import ProbeActivities
from activities.volumes import GuestVolumeActivities
from evacuation import names
from evacuation.errors import (
    BY_NAME,
    ErrorDetail,
    HostAlreadyServedError,
    HostIdentityError,
    HostNotFoundError,
    HypervisorUnavailableError,
)
from evacuation.messages import HostReport, ReturnHostInput
from evacuation.ports import HostIdentity, Hypervisor, LedgerMemory
from services.drivers import HYPERVISORS
from services.hypervisors.chosen import HypervisorDriver
from services.hypervisors.ledger import MARK, HostLedger
from services.runtime.locks import LockHeldError, file_lock
from services.runtime.settings import Settings
from workers.contact import Doubt
from workers.report import keep_reporting
from workers.serving import connect_patiently, serving
from workers.sole import only_worker_there, patiently
from workflows.return_host import ReturnHost

log = structlog.stdlib.get_logger("worker")
FINAL_RETURNS = frozenset({HostNotFoundError.__name__, HostIdentityError.__name__})
"""Answers to a return that no repetition changes."""


async def serve_host(settings: Settings, host: str) -> None:
    """Probe and return queues first; the host's own queue once the host came back through its return."""
    driver = HYPERVISORS[settings.hypervisor]()
    hypervisor = driver.open(settings, host)
    in_service = asyncio.Event()
    me = await asyncio.to_thread(require_able, hypervisor)
    client = await connect_patiently(settings)
    doubt, memory = Doubt(), memory_of(driver, settings, host)
    guests = GuestActivities(hypervisor, LastLook(client), memory)
    looking = driver.looking(settings, host)
    probe = ProbeActivities(hypervisor, host, in_service.is_set, doubt.raise_from_thread, memory, looking)
    one_worker = partial(only_worker_there, folder=driver.own_dir(settings, host) if driver.remembers else None)
    boot = Boot(hypervisor)
    await asyncio.to_thread(boot)
    serve = partial(serving, client, settings, host=host, boot=boot)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        if me is not None:
            await enter(one_worker(me))
        await enter(
            serve(queue=names.probe_queue(host), activities=probe.all, slots=settings.probe_activities, pollers=1)
        )
        if me is None:
            me = await patiently(hypervisor.identity, pause=1 * settings.time_scale)
            await enter(one_worker(me))
        await enter(
            serve(
                queue=names.return_queue(host), activities=guests.for_return, slots=settings.host_activities, pollers=1
            )
        )
        await come_back(client, settings, hypervisor, host, memory)
        await enter(
            serve(
                queue=names.host_queue(host),
                activities=[*guests.all, *GuestVolumeActivities(hypervisor, memory).all],
                slots=settings.host_activities,
                pollers=settings.host_pollers,
            )
        )
        in_service.set()
        log.info("serving", queue=names.host_queue(host))
        await asyncio.gather(
            keep_reporting(client, settings, hypervisor, driver.reporter(settings, host)),
            return_when_doubted(client, settings, hypervisor, host, doubt, memory),
        )


def memory_of(driver: HypervisorDriver, settings: Settings, host: str) -> LedgerMemory:
    """A host that ends with its worker forgets its guests, and with them what they were started by."""
    return HostLedger(driver.own_dir(settings, host) / MARK if driver.remembers else None)


def require_able(hypervisor: Hypervisor) -> HostIdentity | None:
    """A hypervisor that is set up wrongly is told at once; one that does not answer yet is waited for later: None.

    Raises HypervisorUnableError."""
    with suppress(HypervisorUnavailableError):
        me = hypervisor.identity()
        hypervisor.inventory()
        return me
    return None


async def come_back(
    client: Client, settings: Settings, hypervisor: Hypervisor, host: str, memory: LedgerMemory
) -> None:
    """The host is reconciled and up. Raises HostNotFoundError and HostIdentityError; anything else is tried again."""
    while True:
        report = await patient_report(hypervisor, host, pause=1 * settings.time_scale)
        report = report.model_copy(update={"ledger": memory.known()})
        try:
            # A return that still runs is an earlier worker's, about guests as they were then: this one replaces it.
            handle = await client.start_workflow(
                ReturnHost.run,
                ReturnHostInput(report=report, tuning=settings.tuning),
                id=names.return_host_id(host),
                task_queue=names.CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
                static_summary=f"{host} comes back",
            )
            log.info("coming back", workflow=names.return_host_id(host), incarnation=report.incarnation)
            plan = await handle.result()
            await asyncio.to_thread(memory.note, plan.ledger)
            return
        except WorkflowFailureError as error:
            raise_if_final(error)
            log.warning("the return failed, trying again", cause=str(error.cause))
        except RPCError as error:
            log.warning("the return could not be followed, trying again", cause=str(error))
        await asyncio.sleep(1 * settings.time_scale)


async def return_when_doubted(
    client: Client, settings: Settings, hypervisor: Hypervisor, host: str, doubt: Doubt, memory: LedgerMemory
) -> None:
    """Never returns. A host that was out of sight, or that somebody takes for lost, may stand as off in the store, and
    may have been evacuated: it is reconciled as if its worker had started again. Nobody sends it guests meanwhile: who
    takes it for off has marked it down. Raises HostNotFoundError and HostIdentityError."""
    while True:
        why = await doubt.wait(client, settings.time_scale)
        log.warning("the host comes back", why=why)
        await come_back(client, settings, hypervisor, host, memory)
        log.info("in sight again", queue=names.host_queue(host))


async def patient_report(hypervisor: Hypervisor, host: str, *, pause: float) -> HostReport:
    """What runs there, as `patiently`."""
    return await patiently(partial(report_of, hypervisor, host), pause=pause)


def report_of(hypervisor: Hypervisor, host: str) -> HostReport:
    me = hypervisor.identity()
    return HostReport(
        host=host,
        hypervisor_uuid=me.hypervisor_uuid,
        machine_id=me.machine_id,
        incarnation=me.incarnation,
        memory=me.memory,
        guests=hypervisor.inventory(),
    )


def raise_if_final(error: WorkflowFailureError) -> None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type in FINAL_RETURNS:
            said = next((ErrorDetail.model_validate(each) for each in cause.details if isinstance(each, dict)), None)
            raise BY_NAME[cause.type](str(cause.message), remedy=said.remedy if said else "") from error
        cause = cause.__cause__


@contextmanager
def only_worker_of(settings: Settings, host: str, *, boot: bool = False) -> Generator[None]:
    """By the host's own directory; by another one, see `only_worker_there`. With `boot` the worker's start is the
    host's.

    Raises HostNotFoundError, HostOffError, HostAlreadyServedError, HypervisorUnableError."""
    if not names.is_name(host):
        raise HostNotFoundError(f"{host!r} is not a host's name")
    driver = HYPERVISORS[settings.hypervisor]()
    if not boot:
        driver.require_on(settings, host)
    try:
        with file_lock(driver.own_dir(settings, host) / "worker.lock", wait=1.0):
            if boot and (incarnation := driver.boot(settings, host)) is not None:
                log.info("booting", host=host, incarnation=incarnation)
            yield
    except LockHeldError as error:
        raise HostAlreadyServedError(f"a worker of {host} is running already", remedy="one host, one worker") from error
