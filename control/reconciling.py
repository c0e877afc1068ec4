"""What `evacuate store reconcile` asks of the world before it writes, and tells it afterwards."""

import asyncio
import getpass
from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import Client, WorkflowFailureError

from control.access import connect
from control.asking import ask_hosts
from control.failures import answered
from evacuation.errors import NotReadyError
from evacuation.ledger import LedgerMark, StartMark
from evacuation.messages import HostAnswer, ProbeRequest, Reconcile, Reconciled
from services.runtime.last_start import last_run
from services.runtime.settings import Settings
from services.runtime.temporal import namespace_id
from services.sql import SqlServices
from services.sql.ledger.witnesses import Witnesses

AT_ONCE = 20
SHORTLY = timedelta(seconds=5)


async def reconcile(settings: Settings, services: SqlServices) -> Reconciled:
    """Raises TemporalUnavailableError, NotReadyError, StoreOwnedError."""
    client = await connect(settings)
    with answered():
        services.database.serve(await namespace_id(client), Witnesses())
    hosts, _ = services.ledger.to_be_asked()
    answers = await _ask(client, settings, hosts, guests=True)
    starts, running = await _last_runs(client, [each.id for each in services.views.instances()])
    done = services.ledger.reconcile(
        Reconcile(
            reports=tuple(each.report for each in answers if each.report is not None),
            unasked=tuple(each.host for each in answers if each.report is None),
            starts=starts,
            running=running,
            who=getpass.getuser(),
        )
    )
    await _tell(client, settings, hosts, services.ledger.to_be_asked()[1])
    return done


async def _ask(
    client: Client, settings: Settings, hosts: Sequence[ProbeRequest], *, guests: bool
) -> tuple[HostAnswer, ...]:
    with answered():
        try:
            return await ask_hosts(client, settings, hosts, guests=guests)
        except WorkflowFailureError as error:
            raise NotReadyError(
                "no control worker serves, so that the hosts cannot be asked",
                remedy="start one: evacuate-worker control",
            ) from error


async def _tell(client: Client, settings: Settings, hosts: Sequence[ProbeRequest], mark: LedgerMark) -> None:
    """A host that does not hear it now hears it with the next thing that is asked of it."""
    await _ask(client, settings, [each.model_copy(update={"ledger": mark}) for each in hosts], guests=False)


async def _last_runs(client: Client, instances: Sequence[str]) -> tuple[dict[str, StartMark], frozenset[str]]:
    """By describes, one for each instance: the visibility store lags, and must not be polled."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(instance: str) -> tuple[str, StartMark | None, bool]:
        async with gate:
            return (instance, *await last_run(client, instance, timeout=SHORTLY))

    with answered():
        found = await asyncio.gather(*(one(each) for each in instances))
    starts = {instance: mark for instance, mark, _ in found if mark is not None}
    return starts, frozenset(instance for instance, _, runs in found if runs)
