"""A host is taken for off: by a person's word, or because its power is cut for them."""

from contextlib import suppress
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from control.access import connect, open_store, operator
from control.asking import ask_host
from control.failures import NOT_THERE, answered
from control.jobs import done_by_control
from evacuation import names
from evacuation.errors import HostAnswersError, HostFailingError, PowerReadsOnError, TemporalUnavailableError
from evacuation.messages import FenceHostInput, FenceRequest, HostReport
from evacuation.model import PowerState
from evacuation.request import accept_remedy, answered_with_error
from services.runtime.settings import Settings

WORD_TIMEOUT = timedelta(seconds=30)
CUT_TIMEOUT = timedelta(seconds=330)


async def confirm_off(settings: Settings, host: str, statement: str) -> bool:
    """The word is about the boot that was known before the host was asked: one that comes up meanwhile is not off.
    Whether the boot of which it is recorded is the one that is known still.

    Raises HostAnswersError, PowerReadsOnError, NotReadyError, TemporalUnavailableError."""
    incarnation = _incarnation(host)
    await _refuse_if_it_answers(settings, host)
    try:
        await prove(settings, _request(host, incarnation, statement))
    except PowerReadsOnError as error:
        raise _on_for_another(host, error) from error
    return _incarnation(host) == incarnation


async def power_off(settings: Settings, host: str) -> None:
    """Its power is cut and read back, whoever answers there: of the boot that is known now.

    Raises FenceFailedError, SourceNotFencedError (nothing here can), NotReadyError, TemporalUnavailableError."""
    await _require_control(settings, host)
    await prove(settings, _request(host, _incarnation(host), None))


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
        names.FENCE_HOST,
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
            remedy=accept_remedy(host, "if it is the new board, or was reinstalled"),
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


async def look_again(settings: Settings, instances: set[str]) -> str | None:
    """Evacuations that wait for this word look again at once; one that ended meanwhile need not. None: all are told;
    else why they are not, and look again by themselves. The word is recorded in any case."""
    try:
        client = await connect(settings)
        for instance in instances:
            await _look_again(client, instance)
    except TemporalUnavailableError as error:
        return error.message
    return None


async def _look_again(client: Client, instance: str) -> None:
    with answered():
        try:
            await client.get_workflow_handle(names.evacuate_instance_id(instance)).signal("look_again")
        except RPCError as error:
            if error.status not in NOT_THERE:
                raise
