"""`evacuate host …`"""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import require_name
from cli.options import HostArgument, JsonOption, StateDirOption, examples, new_group
from cli.output import print_one, print_rows, say
from control.access import open_store, settings
from evacuation.errors import ContradictoryOptionsError
from services.runtime.exits import NOT_RECOVERED

if TYPE_CHECKING:
    from evacuation.views import HostView

host_app = new_group("host", "Compute hosts.", "list", "show", "preflight", "kill", "start", "down", "accept")

COLUMNS = (
    "name",
    "state",
    "enabled",
    "fenced",
    "last_seen",
    "vcpus",
    "vcpus_used",
    "memory_mb",
    "memory_mb_used",
    "disk_gb",
    "disk_gb_used",
    "availability_zone",
)


@host_app.command("list", epilog=examples("host list", "host list --json"))
def list_hosts(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Every host, with what is used of it.

    `state` is what the store knows: a host that has died is `up` until somebody fences it, or says that it is off. By
    `last_seen` such a host is `silent` after 90 s."""
    from cli.seen import seen_hosts
    from evacuation.silence import host_line

    with open_store() as services:
        hosts = services.views.hosts()
    hosts = seen_hosts(settings(), hosts)
    print_rows(hosts if as_json else tuple(map(host_line, hosts)), COLUMNS, as_json=as_json)
    _remark(hosts, as_json=as_json)


@host_app.command("show", epilog=examples("host show cmp-1", "host show cmp-1 --json"))
def show_host(host: HostArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """One host."""
    from cli.seen import seen_hosts
    from evacuation.silence import host_line
    from evacuation.views import ShownHost

    require_name(host, "a host")
    with open_store() as services:
        found = services.views.host(host)
        notes = services.views.notes(host)
    (found,) = seen_hosts(settings(), (found,))
    print_one(ShownHost(**dict(found if as_json else host_line(found)), notes=notes), as_json=as_json)
    _remark((found,), as_json=as_json)


@host_app.command("preflight", epilog=examples("host preflight cmp-1", "host preflight cmp-1 --json"))
def preflight_host(host: HostArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Which of a host's instances would come back if it died now, where, and why not the others.

    The power of every host is read, too: one that answers must read on. Exit code 1 when there is an instance that
    would not come back, or something is wrong with this host's power."""
    from cli.power_checks import check_power
    from cli.preflight import is_sound, print_preflight

    require_name(host, "a host")
    with open_store() as services:
        services.views.resolve_host(host)
        found = services.views.preflight(host)
        notes = services.views.notes(host)
        hosts, _ = services.ledger.to_be_asked()
    checks = check_power(settings(), hosts)
    print_preflight(host, found, checks, notes, as_json=as_json)
    if not is_sound(host, found, checks):
        raise typer.Exit(NOT_RECOVERED)


@host_app.command(
    "down",
    epilog=examples('host down cmp-1 --confirmed-off "unplugged it myself, rack 4"', "host down cmp-1 --power-off"),
)
def down_host(
    host: HostArgument,
    confirmed_off: Annotated[
        str | None,
        typer.Option("--confirmed-off", metavar="TEXT", help="Your word that the host is off: how you know it."),
    ] = None,
    power_off: Annotated[
        bool, typer.Option("--power-off", help="Cut its power, whatever runs there. Asks first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --power-off: do not ask.")] = False,
    as_json: JsonOption = False,
    state_dir: StateDirOption = None,
) -> None:
    """Take a host for off: by your word, or by cutting its power.

    Your word is recorded as evidence. It is refused while the host answers, and while its power reads on."""
    from cli import down

    if (confirmed_off is None) is not power_off:
        raise ContradictoryOptionsError(
            "a host is down either by a word or by its power", remedy="say --confirmed-off TEXT, or --power-off"
        )
    known(host)
    if confirmed_off is not None:
        down.confirm_off(settings(), host, confirmed_off)
    else:
        down.power_off(settings(), host, yes=yes)
    if as_json:
        show_host(host, as_json=True)


@host_app.command(
    "accept",
    epilog=examples(
        'host accept cmp-1 --confirmed-gone "swapped the board myself, the old one is on my desk"',
        'host accept cmp-1 --confirmed-gone "reinstalled it" --yes --json',
    ),
)
def accept_host(
    host: HostArgument,
    confirmed_gone: Annotated[
        str,
        typer.Option(
            "--confirmed-gone", metavar="TEXT", help="Your word that nothing of the old one runs: how you know it."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    state_dir: StateDirOption = None,
) -> None:
    """Another board, or a system that was reinstalled, takes the name of a host. Asks first.

    Whoever answers by the name is accepted, else who was refused last, else whoever comes next. Your word is recorded
    as evidence that the old one is off for good: its guests start again on this host, or where they are evacuated to.
    It is refused while the host answers as the one that the store knows."""
    from cli.accepting import accept

    accept(settings(), known(host), confirmed_gone, yes=yes)
    if as_json:
        show_host(host, as_json=True)


def _remark(hosts: "Sequence[HostView]", *, as_json: bool) -> None:
    from evacuation.remarks import remarks

    for line in () if as_json else chain.from_iterable(map(remarks, hosts)):
        say(line)


def known(host: str) -> str:
    """The host, if the store has it. Raises MalformedRequestError, HostNotFoundError."""
    require_name(host, "a host")
    with open_store() as services:
        services.views.resolve_host(host)
    return host
