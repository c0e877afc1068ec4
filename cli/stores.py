"""`evacuate store …`: its schema, and whose it is."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, StateDirOption, examples, new_group
from cli.output import print_one, say
from control.access import open_store, settings
from evacuation.errors import MalformedRequestError

if TYPE_CHECKING:
    from evacuation.messages import Reconciled

store_app = new_group("store", "The state store: its schema, whose it is, and whether it is the one that hosts know.")
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@store_app.command("migrate", epilog=examples("store migrate", "--state-dir /srv/lab store migrate"))
def migrate_store(state_dir: StateDirOption = None) -> None:
    """Bring the store's schema to this release; a new store is made.

    The store is the one that EVACUATE_DATABASE_URL names, else the SQLite file in the state directory."""
    from control.stores import migrate

    migrate(settings())
    say("the store's schema is up to date")


@store_app.command("claim", epilog=examples("store claim", "store claim --yes"))
def claim_store(yes: YesOption = False, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Take the store over from another control plane: from then on all its writes are refused.

    End the other one's workers first. It names what it takes over, and asks."""
    from control import stores

    owner = asyncio.run(stores.owner(settings()))
    with open_store() as services:
        now = services.ledger.show()
        if now.owner == owner:
            say(f"the store is this control plane's already (Temporal namespace {owner})")
        else:
            before = f"Temporal namespace {now.owner}, since {now.owned_at}" if now.owner else "nobody"
            say(f"the store belongs to {before}")
            say(
                f"taken over by Temporal namespace {owner}: {now.hosts} hosts, {now.instances} instances, "
                f"{now.open_evacuations} open evacuations, which the next request for each adopts"
            )
            _confirm(yes)
            services.ledger.claim(owner)
            say("claimed")
        if as_json:
            print_one(services.ledger.show(), as_json=True)


@store_app.command("reconcile", epilog=examples("store reconcile", "store reconcile --json"))
def reconcile_store(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Bring a store that was restored, or that the hosts do not know, up to what really runs.

    Every host is asked what it runs and which store it has seen. Until then nothing is started. What is left to a
    person is named: see docs/backup.md."""
    from control.reconciling import reconcile

    with open_store() as services:
        done = asyncio.run(reconcile(settings(), services))
    for line in _told(done):
        say(line)
    if as_json:
        print_one(done, as_json=True)


def _told(done: "Reconciled") -> Iterator[str]:
    for each in done.moved:
        yield f"{each.instance} lives on {each.destination} (epoch {each.epoch}); the store had it on {each.source}"
    if done.raised:
        yield f"epochs raised: {', '.join(done.raised)}"
    for each in done.conflicts:
        yield f"left to you: {each}"
    for each in done.unknown:
        yield f"left to you: a guest that the store does not know runs on {each}"
    for each in done.awaited:
        yield f"may run where nobody could look: {each}; it starts nowhere else before that is settled"
    if done.not_asked:
        yield f"not asked, they do not answer: {', '.join(done.not_asked)}; each is reconciled when it comes back"
    yield f"reconciled, at position {done.position}"


def _confirm(yes: bool) -> None:
    """Raises MalformedRequestError where nobody can be asked; typer.Abort if the answer is no."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise MalformedRequestError("this has to be confirmed, and there is no terminal", remedy="give --yes")
    typer.confirm("Go on?", abort=True, err=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(store_app)
