"""Another board, or a system that was reinstalled, takes the name of a host."""

import asyncio

from cli.down import ask, named, tell
from cli.output import say
from control import accepting, words
from control.accepting import Found
from evacuation.statements import require_statement
from evacuation.views import HostView
from services.runtime.settings import Settings


def accept(settings: Settings, host: str, statement: str, *, yes: bool) -> None:
    """The word is about the boot that was known before the host was asked. Raises HostAnswersError, HostIdentityError,
    PowerReadsOnError, SourceNotFencedError, NotReadyError, TemporalUnavailableError."""
    remedy = "say how you know that nothing of the old one runs any more"
    statement = require_statement(statement, "--confirmed-gone", remedy=remedy)
    before, found = asyncio.run(accepting.look(settings, host))
    if not yes:
        ask(_question(before, found), "Accept it?")
    asyncio.run(accepting.accept(settings, before, found, statement))
    say(_told(before, found))
    tell(settings, words.waiting(host))


def _question(host: HostView, found: Found) -> str:
    guests = named(words.guests_on(host.name))
    new = f"{found.who}" if found.who else "whoever comes next"
    over = f"nothing runs any more on {host.identity or 'any board before'}"
    start = f"its guests start again: {guests}" if guests else "no guest is known to live there"
    return f"to accept {new} as {host.name} says that {over}; {start}"


def _told(host: HostView, found: Found) -> str:
    if found.who is not None and found.who == host.identity:
        return f"recorded: what {host.name} was before is gone, by your word"
    who = f"{found.who}" if found.who else "whoever registers next by its name"
    return f"accepted: {host.name} is {who} from its next return on; start its host worker there if none runs"
