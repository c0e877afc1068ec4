"""A host is taken for off: by a person's word, or because its power is cut for them."""

import asyncio
import sys
from contextlib import suppress
from datetime import timedelta

import typer
from temporalio.client import Client
from temporalio.service import RPCError

from cli.access import connect, open_store, operator
from cli.control import done_by_control
from cli.failures import NOT_THERE, answered
from cli.output import say
from embedded.readiness import ask_host
from evacuation.errors import (
    HostAnswersError,
    HostFailingError,
    MalformedRequestError,
    PowerReadsOnError,
    TemporalUnavailableError,
)
from evacuation.messages import FenceHostInput, FenceRequest, HostReport
from evacuation.model import PowerState
from evacuation.names import evacuate_instance_id
from evacuation.request import accept_remedy, answered_with_error
from evacuation.statements import require_statement
from services.runtime.settings import Settings
from workflows.fence_host import FenceHost

WORD_TIMEOUT = timedelta(seconds=30)
CUT_TIMEOUT = timedelta(seconds=330)
MOST_NAMED = 20


def confirm_off(settings: Settings, host: str, statement: str) -> None:
    """The word is about the boot that was known before the host was asked: one that comes up meanwhile is not off.

    Raises HostAnswersError, PowerReadsOnError, TemporalUnavailableError."""
    statement = require_statement(statement, "--confirmed-off", remedy="say how you know that the host is off")
    incarnation = _incarnation(host)
    asyncio.run(_refuse_if_it_answers(settings, host))
    try:
        asyncio.run(prove(settings, _request(host, incarnation, statement)))
    except PowerReadsOnError as error:
        raise _on_for_another(host, error) from error
    if _incarnation(host) == incarnation:
        say(f"recorded: {host} is down, by your word")
    else:
        say(f"recorded, but {host} has come up meanwhile, and your word is not about the boot that is there now")
    asyncio.run(tell(settings, waiting(host)))


def power_off(settings: Settings, host: str, *, yes: bool) -> None:
    """Its power is cut and read back, whoever answers there, after a question that names the guests that it stops.

    Raises FenceFailedError, SourceNotFencedError (nothing here can), TemporalUnavailableError."""
    if not yes:
        _ask(host)
    asyncio.run(_require_control(settings, host))
    # The answer may have taken a while: what is cut is the boot that is there now.
    asyncio.run(prove(settings, _request(host, _incarnation(host), None)))
    say(f"{host} is off: its power was cut and read back")
    asyncio.run(tell(settings, waiting(host)))


def _ask(host: str) -> None:
    guests = named(guests_on(host))
    what = f"stops {guests}" if guests else "stops no guest that is known to run there"
    ask(f"to switch {host} off {what}", "Switch it off?")


def ask(what: str, question: str) -> None:
    """Raises MalformedRequestError where nobody can be asked; typer.Abort if the answer is no."""
    if not sys.stdin.isatty():
        raise MalformedRequestError(f"{what}, and there is no terminal to ask on", remedy="give --yes")
    typer.confirm(f"{what[:1].upper()}{what[1:]}. {question}", abort=True, err=True)


def named(guests: list[str]) -> str:
    """The first of many, and how many more."""
    return ", ".join(guests[:MOST_NAMED]) + (f" and {len(guests) - MOST_NAMED} more" if guests[MOST_NAMED:] else "")


def guests_on(host: str) -> list[str]:
    """Names of the instances that run there, or may."""
    with open_store() as services:
        instances = services.views.instances(host)
        may = {each.instance for each in services.views.residences() if each.host == host and each.proof is None}
    runs = {each.name for each in instances if each.power_state == PowerState.RUNNING}
    return sorted(runs | may - {each.name for each in instances if each.power_state == PowerState.SHUTDOWN})


def _request(host: str, incarnation: str | None, statement: str | None) -> FenceRequest:
    return FenceRequest(host=host, incarnation=incarnation, instance_id="", statement=statement, who=operator())


def _incarnation(host: str) -> str | None:
    with open_store() as services:
        return services.views.host(host).incarnation


async def prove(settings: Settings, request: FenceRequest) -> None:
    """By a control worker, which alone reads and cuts power. Raises what it says, NotReadyError,
    TemporalUnavailableError."""
    await done_by_control(
        settings,
        FenceHost.run,
        FenceHostInput(request=request, tuning=settings.tuning),
        name=f"fence-host/{request.host}",
        summary=f"prove {request.host} off",
        timeout=CUT_TIMEOUT if request.statement is None else WORD_TIMEOUT,
    )


async def _refuse_if_it_answers(settings: Settings, host: str) -> None:
    """Whoever answers, with an error too, is not off; and what was said of the boot that answers is void."""
    try:
        report = await ask_host(await connect(settings), host, doubted=True)
    except HostFailingError as error:
        void(host, error.incarnation)
        raise HostAnswersError(f"{error.message}: it is not off", remedy=answered_with_error(host)) from error
    if report is not None:
        _refuse_another(host, report)
        void(host, report.incarnation)
        remedy = f"switch it off first: evacuate host down {host} --power-off"
        raise HostAnswersError(f"{host} answers: it is not off", remedy=remedy)


def _refuse_another(host: str, report: HostReport) -> None:
    with open_store() as services:
        known = services.views.host(host).identity
    if known not in (None, report.identity):
        raise HostAnswersError(
            f"{host} is {known}; {report.identity} answers in its place",
            remedy=accept_remedy(host, "if it is the new board, or was installed anew"),
        )


def _on_for_another(host: str, error: PowerReadsOnError) -> PowerReadsOnError:
    """Who is on may be a board that was refused, whose worker ends and begins again: it answers now and then only."""
    with open_store() as services:
        refused = services.views.host(host).refused
    if refused is None:
        return error
    remedy = f"{accept_remedy(host, 'if that is the new board')}; {error.remedy}"
    return PowerReadsOnError(f"{error.message}; and {refused} was refused as {host}", remedy=remedy)


async def _require_control(settings: Settings, host: str) -> None:
    """A cut may take minutes: that nobody is there who makes it is to be known before. Raises NotReadyError."""
    with suppress(HostFailingError):
        await ask_host(await connect(settings), host, doubted=True)


def void(host: str, incarnation: str | None) -> None:
    if incarnation is not None:
        with open_store() as services:
            services.evidence.void_evidence(host, incarnation, "its own worker answered")


def waiting(host: str) -> set[str]:
    """The instances whose evacuation may wait for the proof."""
    with open_store() as services:
        waiting = {each.instance_id for each in services.views.open_evacuations()}
        return waiting | {each.id for each in services.views.instances(host)}


async def tell(settings: Settings, instances: set[str]) -> None:
    """Evacuations that wait for this word look again at once; one that ended meanwhile need not. The word is recorded
    in any case."""
    try:
        client = await connect(settings)
        for instance in instances:
            await _look_again(client, instance)
    except TemporalUnavailableError as error:
        say(f"evacuations that wait for it look again by themselves: {error.message}")


async def _look_again(client: Client, instance: str) -> None:
    with answered():
        try:
            await client.get_workflow_handle(evacuate_instance_id(instance)).signal("look_again")
        except RPCError as error:
            if error.status not in NOT_THERE:
                raise
