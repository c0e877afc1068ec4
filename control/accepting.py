"""Another board, or a system that was reinstalled, takes the name of a host."""

from datetime import timedelta
from typing import NamedTuple

from temporalio.client import Client

from control.access import connect, open_store, operator
from control.asking import ask_host
from control.jobs import done_by_control
from control.words import void
from evacuation import names
from evacuation.errors import HostAnswersError, HostFailingError, HostIdentityError
from evacuation.identity import Identity, SeenIdentity
from evacuation.messages import AcceptHostInput, AcceptIdentity, HostReport
from evacuation.views import HostView
from services.runtime.settings import Settings

TIMEOUT = timedelta(seconds=30)
ASKED = 4
"""Times that a host is asked, where another board answers: the one before may answer by the same name, too."""


class Found(NamedTuple):
    """Who is to be the host; None: whoever comes next. `boot`: the one in which they were seen."""

    who: Identity | None
    boot: str | None = None


async def look(settings: Settings, host: str) -> tuple[HostView, Found]:
    """The host as it was known before it was asked, and who is to be it. Raises HostIdentityError,
    HostAnswersError, NotReadyError, TemporalUnavailableError."""
    before = _known(host)
    return before, _found(before, await _who_answers(settings, before))


async def accept(settings: Settings, host: HostView, found: Found, statement: str) -> None:
    """By a control worker, which alone knows what proves a host off. The word is about the boot that was known before.
    Raises HostAnswersError, HostIdentityError, PowerReadsOnError, SourceNotFencedError, NotReadyError,
    TemporalUnavailableError."""
    await take_word(settings, _request(host, found, statement))


def _known(host: str) -> HostView:
    with open_store() as services:
        found = services.views.host(host)
    if found.incarnation is None:
        raise HostIdentityError(
            f"{host} has never come back: whoever registers first is it", remedy="start its host worker"
        )
    return found


async def _who_answers(settings: Settings, host: HostView) -> HostReport | None:
    """Somebody else than the store knows, or nobody. Raises HostAnswersError: it is who the store knows, or nobody can
    say who it is."""
    client, found = await connect(settings), None
    for _ in range(ASKED):
        answer = await _ask(client, host.name)
        if answer is None:
            break
        void(host.name, answer.incarnation)
        _refuse_the_one_before(host, answer)
        found = answer
    return found


async def _ask(client: Client, host: str) -> HostReport | None:
    try:
        return await ask_host(client, host)
    except HostFailingError as error:
        void(host, error.incarnation)
        raise HostAnswersError(f"{error.message}: who it is cannot be told", remedy="mend that first") from error


def _refuse_the_one_before(host: HostView, answer: HostReport) -> None:
    """Where a board of before was heard of that was said to be gone, the one that answers may well be the new one."""
    if answer.identity == host.identity and not host.heard_of_before:
        raise HostAnswersError(
            f"{host.name} answers, as {host.identity}, which is who the store knows: there is nothing to accept",
            remedy=f"if another board is to be {host.name}, switch this one off first",
        )


def _found(host: HostView, answer: HostReport | None) -> Found:
    """Who answers; else who was refused last; but a board of before is none to be accepted in that boot."""
    seen: SeenIdentity | None = host.refused
    if answer is not None and answer.identity != host.identity:
        return Found(answer.identity, answer.incarnation)
    if answer is None and seen is not None and seen.incarnation not in host.boots_before:
        return Found(Identity.of(seen), seen.incarnation)
    return Found(host.identity if host.heard_of_before or host.incarnation in host.boots_before else None)


def _request(host: HostView, found: Found, statement: str) -> AcceptIdentity:
    return AcceptIdentity(
        host=host.name,
        known=host.identity,
        incarnation=host.incarnation,
        found=found.who,
        found_incarnation=found.boot,
        statement=statement,
        who=operator(),
    )


async def take_word(settings: Settings, request: AcceptIdentity) -> None:
    await done_by_control(
        settings,
        names.ACCEPT_HOST,
        AcceptHostInput(request=request, tuning=settings.tuning),
        name=f"accept-host/{request.host}",
        summary=f"another board is {request.host}",
        timeout=TIMEOUT,
    )
