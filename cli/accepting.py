"""Another board, or a system that was installed anew, takes the name of a host."""

import asyncio
from datetime import timedelta
from typing import NamedTuple

from temporalio.client import Client

from cli.access import connect, open_store, operator
from cli.control import done_by_control
from cli.down import ask, guests_on, named, tell, void, waiting
from cli.output import say
from embedded.readiness import ask_host
from evacuation.errors import HostAnswersError, HostFailingError, HostIdentityError
from evacuation.identity import Identity, SeenIdentity
from evacuation.messages import AcceptHostInput, AcceptIdentity, HostReport
from evacuation.statements import require_statement
from evacuation.views import HostView
from services.runtime.settings import Settings
from workflows.accept_host import AcceptHost

TIMEOUT = timedelta(seconds=30)
ASKED = 4
"""Times that a host is asked, where another board answers: the one before may answer by the same name, too."""


class _Found(NamedTuple):
    """Who is to be the host; None: whoever comes next. `boot`: the one in which they were seen."""

    who: Identity | None
    boot: str | None = None


def accept(settings: Settings, host: str, statement: str, *, yes: bool) -> None:
    """The word is about the boot that was known before the host was asked. Raises HostAnswersError, HostIdentityError,
    PowerReadsOnError, SourceNotFencedError, NotReadyError, TemporalUnavailableError."""
    remedy = "say how you know that nothing of the old one runs any more"
    statement = require_statement(statement, "--confirmed-gone", remedy=remedy)
    before = _look(host)
    found = _found(before, asyncio.run(_who_answers(settings, before)))
    if not yes:
        ask(_question(before, found), "Accept it?")
    asyncio.run(take_word(settings, _request(before, found, statement)))
    say(_told(before, found))
    asyncio.run(tell(settings, waiting(host)))


def _look(host: str) -> HostView:
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


def _found(host: HostView, answer: HostReport | None) -> _Found:
    """Who answers; else who was refused last; but a board of before is none to be accepted in that boot."""
    seen: SeenIdentity | None = host.refused
    if answer is not None and answer.identity != host.identity:
        return _Found(answer.identity, answer.incarnation)
    if answer is None and seen is not None and seen.incarnation not in host.boots_before:
        return _Found(Identity.of(seen), seen.incarnation)
    return _Found(host.identity if host.heard_of_before or host.incarnation in host.boots_before else None)


def _request(host: HostView, found: _Found, statement: str) -> AcceptIdentity:
    return AcceptIdentity(
        host=host.name,
        known=host.identity,
        incarnation=host.incarnation,
        found=found.who,
        found_incarnation=found.boot,
        statement=statement,
        who=operator(),
    )


def _question(host: HostView, found: _Found) -> str:
    guests = named(guests_on(host.name))
    new = f"{found.who}" if found.who else "whoever comes next"
    over = f"nothing runs any more on {host.identity or 'any board before'}"
    start = f"its guests start anew: {guests}" if guests else "no guest is known to live there"
    return f"to accept {new} as {host.name} says that {over}; {start}"


def _told(host: HostView, found: _Found) -> str:
    if found.who is not None and found.who == host.identity:
        return f"recorded: what {host.name} was before is gone, by your word"
    who = f"{found.who}" if found.who else "whoever registers next by its name"
    return f"accepted: {host.name} is {who} from its next return on; start its host worker there if none runs"


async def take_word(settings: Settings, request: AcceptIdentity) -> None:
    """By a control worker, which alone knows what proves a host off."""
    await done_by_control(
        settings,
        AcceptHost.run,
        AcceptHostInput(request=request, tuning=settings.tuning),
        name=f"accept-host/{request.host}",
        summary=f"another board is {request.host}",
        timeout=TIMEOUT,
    )
