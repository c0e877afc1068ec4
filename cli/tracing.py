"""`evacuate watch`, `report` and `check`."""

from typing import Annotated

import typer

from cli.access import open_store, require_name, settings
from cli.instances import find_instance
from cli.options import JsonOption, StateDirOption, examples
from cli.output import print_json, print_one, print_table, say
from cli.records import EVENT
from evacuation.errors import InstanceNotFoundError, NotRunningError
from evacuation.views import ActionView, EvacuationView, InstanceView

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="An instance's name or id, or an evacuation's id.")]
BREACH_COLUMNS = ("invariant", "subject", "message", "remedy")


def watch(identity: IdArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Live progress of an evacuation until it ends; how it ended, if it has."""
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


def _find(identity: str) -> tuple[EvacuationView, ActionView | None]:
    """The evacuation of that id, or the instance's last one. Raises NotRunningError."""
    require_name(identity, "an instance or an evacuation")
    with open_store() as services:
        all_rows = services.views.evacuations()
        rows = [row for row in all_rows if row.id == identity]
        if not rows:
            instance_id = services.views.resolve_instance(identity)
            rows = [row for row in all_rows if row.instance_id == instance_id]
        if not rows:
            raise NotRunningError(f"{identity} was never evacuated")
        actions = services.views.actions(rows[-1].instance_id)
    return rows[-1], next((each for each in actions if each.evacuation_id == rows[-1].id), None)


def _instance_of(identity: str) -> InstanceView:
    try:
        return find_instance(identity)
    except InstanceNotFoundError:
        with open_store() as services:
            rows = [row for row in services.views.evacuations() if row.id == identity]
        if not rows:
            raise
        return find_instance(rows[0].instance_id)


def check(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Verify the invariants on the live store, the hosts and the disks; exit 1 and name each breach."""
    from embedded.world import check as look

    with open_store() as services:
        found = look(settings(), services)
    for note in found.not_checked:
        say(f"not checked: {note}")
    breaches = found.breaches
    if as_json:
        print_json(breaches)
    elif breaches:
        print_table(breaches, BREACH_COLUMNS)
    say(f"{len(breaches)} breaches" if breaches else "no breach")
    raise typer.Exit(1 if breaches else 0)


def add_to(app: typer.Typer) -> None:
    app.command("watch", epilog=examples("watch web-01"))(watch)
    app.command("report", epilog=examples("report web-01", "report web-01 --json"))(report)
    app.command("check", epilog=examples("check", "check --json"))(check)
