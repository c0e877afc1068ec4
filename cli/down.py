"""A host is taken for off: by a person's word, or because its power is cut for them."""

import asyncio
import sys

import typer

from cli.output import say
from control import words
from evacuation.errors import MalformedRequestError
from evacuation.statements import require_statement
from services.runtime.settings import Settings

MOST_NAMED = 20


def confirm_off(settings: Settings, host: str, statement: str) -> None:
    """Raises MalformedRequestError, HostAnswersError, PowerReadsOnError, TemporalUnavailableError."""
    statement = require_statement(statement, "--confirmed-off", remedy="say how you know that the host is off")
    if asyncio.run(words.confirm_off(settings, host, statement)):
        say(f"recorded: {host} is down, by your word")
    else:
        say(f"recorded, but {host} has come up meanwhile, and your word is not about the boot that is there now")
    tell(settings, words.waiting(host))


def power_off(settings: Settings, host: str, *, yes: bool) -> None:
    """Its power is cut and read back, whoever answers there, after a question that names the guests that it stops.

    Raises FenceFailedError, SourceNotFencedError (nothing here can), TemporalUnavailableError."""
    if not yes:
        _ask(host)
    # The answer may have taken a while: what is cut is the boot that is there now.
    asyncio.run(words.power_off(settings, host))
    say(f"{host} is off: its power was cut and read back")
    tell(settings, words.waiting(host))


def tell(settings: Settings, instances: set[str]) -> None:
    """Evacuations that wait for it look again at once, where that can be told to them."""
    why_not = asyncio.run(words.look_again(settings, instances))
    if why_not is not None:
        say(f"evacuations that wait for it look again by themselves: {why_not}")


def _ask(host: str) -> None:
    guests = named(words.guests_on(host))
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
