"""`evacuate watch`, `report` and `check`."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import find_instance, require_name
from cli.options import JsonOption, StateDirOption, examples
from cli.output import print_json, print_one, print_table, say
from cli.records import EVENT
from control.access import open_store, settings
from evacuation.errors import NotRunningError

if TYPE_CHECKING:
    from evacuation.views import ActionView, EvacuationView, InstanceView

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="An instance's name or id, or an evacuation's id.")]
BREACH_COLUMNS = ("invariant", "subject", "message", "remedy")


def watch(identity: IdArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Live progress of an evacuation until it ends; how it ended, if it has.

    Exit code: 0 recovered, 1 not, 2 there never was one, 3 Temporal or the store was lost."""
    from cli.evacuations import watch_evacuation

    raise typer.Exit(watch_evacuation(settings(), _instance_of(identity), as_json=as_json))


def report(identity: IdArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """What happened in an evacuation, afterwards: outcome, attempts and every step."""
    evacuation, action = _find(identity)
    if evacuation.outcome is None:
        raise NotRunningError(
            f"the evacuation of {evacuation.instance} has not ended", remedy="evacuate watch follows it"
        )
    if as_json:
        print_json(evacuation)
        return
    print_one(evacuation.outcome, as_json=False)
    if action is not None:
        print_table(action.events, EVENT)


def _find(identity: str) -> "tuple[EvacuationView, ActionView | None]":
    """The evacuation of that id, or the instance's last one. Raises NotRunningError."""
    require_name(identity, "an instance or an evacuation")
    with open_store() as services:
        found = services.views.evacuation(identity)
        if found is None:
            rows = services.views.evacuations_of(services.views.resolve_instance(identity))
            found = rows[-1] if rows else None
        if found is None:
            raise NotRunningError(f"{identity} was never evacuated")
        actions = services.views.actions(found.instance_id)
    return found, next((each for each in actions if each.evacuation_id == found.id), None)


def _instance_of(identity: str) -> "InstanceView":
    """An id of an evacuation comes before a name."""
    require_name(identity, "an instance or an evacuation")
    with open_store() as services:
        found = services.views.evacuation(identity)
    return find_instance(found.instance_id if found else identity)


def check(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Verify the invariants on the live store, the hosts and the disks; exit 1 and name each breach.

    Guests are seen on this machine, or by their hosts' workers; a host that does not answer is named. What is written
    on the disks is looked at where they are on this machine."""
    from control.check import check as look

    with open_store() as services:
        found = look(settings(), services)
    for note in found.not_checked:
        say(f"not checked: {note}")
    breaches = found.breaches
    if as_json:
        print_json(breaches)
    elif breaches:
        print_table(breaches, BREACH_COLUMNS)
    say(f"{len(breaches)} breach{'es' * (len(breaches) > 1)}" if breaches else "no breach")
    raise typer.Exit(1 if breaches else 0)


def add_to(app: typer.Typer) -> None:
    app.command("watch", epilog=examples("watch web-01"))(watch)
    app.command("report", epilog=examples("report web-01", "report web-01 --json"))(report)
    app.command("check", epilog=examples("check", "check --json"))(check)
