"""`evacuate instance …`"""

from typing import Annotated, Literal

import typer

from cli.access import open_store, require_name, settings
from cli.options import InstanceArgument, JsonOption, StateDirOption, examples, new_group
from cli.output import print_one, print_rows
from evacuation.errors import InstanceNotFoundError
from evacuation.views import InstanceView

instance_app = new_group("instance", "Instances: list them, evacuate them.")

COLUMNS = ("name", "host", "vm_state", "task_state", "power_state", "priority", "project", "fault", "id")


def find_instance(text: str) -> InstanceView:
    """By name or id. Raises MalformedRequestError, InstanceNotFoundError."""
    require_name(text, "an instance")
    with open_store() as services:
        instance_id = services.views.resolve_instance(text)
        found = [each for each in services.views.instances() if each.id == instance_id]
    if not found:
        raise InstanceNotFoundError(f"instance {text} is not known")
    return found[0]


@instance_app.command("list", epilog=examples("instance list", "instance list --json"))
def list_instances(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Every instance."""
    with open_store() as services:
        print_rows(services.views.instances(), COLUMNS, as_json=as_json)


@instance_app.command("show", epilog=examples("instance show web-01", "instance show web-01 --json"))
def show_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """One instance."""
    print_one(find_instance(instance), as_json=as_json)


@instance_app.command(
    "evacuate",
    epilog=examples(
        "instance evacuate web-01",
        "instance evacuate web-01 --target cmp-3 --json",
        "instance evacuate web-01 --wait-for-capacity 30m --no-wait",
        'instance evacuate web-01 --source-confirmed-off "unplugged, seen by Ann"',
    ),
)
def evacuate_instance(
    instance: InstanceArgument,
    target: Annotated[str | None, typer.Option(metavar="HOST", help="Only this host will do.")] = None,
    target_state: Annotated[
        Literal["active", "stopped"] | None, typer.Option(help="How it is to end (default: as it was).")
    ] = None,
    wait_for_capacity: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Wait so long for a host that fits: 30s, 30m, 2h.")
    ] = None,
    join: Annotated[bool, typer.Option("--join", help="If one is running already, wait for that.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end.")] = True,
    source_confirmed_off: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Your word that the source is off, and how you know; used if it cannot be read."
        ),
    ] = None,
    as_json: JsonOption = False,
    state_dir: StateDirOption = None,
) -> None:
    """Bring an instance back on another host, after its host has died."""
    from cli.evacuations import Evacuate, run_evacuation

    options = Evacuate(
        instance=instance,
        target=target,
        target_state=target_state,
        wait_for_capacity=wait_for_capacity,
        join=join,
        wait=wait,
        source_confirmed_off=source_confirmed_off,
    )
    raise typer.Exit(run_evacuation(settings(), options, as_json=as_json))


@instance_app.command("cancel", epilog=examples("instance cancel web-01"))
def cancel_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Cancel the running evacuation of an instance, and wait until it is undone."""
    from cli.evacuations import cancel_evacuation

    raise typer.Exit(cancel_evacuation(settings(), instance, as_json=as_json))


@instance_app.command("delete", epilog=examples("instance delete web-01"))
def delete_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Delete an instance, also in the midst of its evacuation."""
    from cli.deletions import delete_instance as delete

    delete(settings(), instance, as_json=as_json)
