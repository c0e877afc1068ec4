"""`evacuate instance …`"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.inputs import require_name
from cli.options import InstanceArgument, InstancesArgument, JsonOption, StateDirOption, examples, new_group
from cli.output import print_one, print_rows, say
from control.access import open_store, settings

if TYPE_CHECKING:
    from evacuation.views import InstanceView, ShownInstance

instance_app = new_group("instance", "Instances: list them, evacuate them, start and stop them.")

COLUMNS = ("name", "host", "vm_state", "task_state", "power_state", "priority", "project", "fault", "id")


@instance_app.command("list", epilog=examples("instance list", "instance list --json"))
def list_instances(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Every instance.

    `power_state` is what was recorded last; of a guest whose host is silent nobody knows it: `running?`."""
    from evacuation.silence import guest_line

    with open_store() as services:
        found, up = services.views.instances(), services.views.hosts_up()
    found = _seen(found, up, as_json=as_json)
    print_rows(found if as_json else tuple(map(guest_line, found)), COLUMNS, as_json=as_json)


@instance_app.command("show", epilog=examples("instance show web-01", "instance show web-01 --json"))
def show_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """One instance, and the steps that keep failing in what is under way with it."""
    from evacuation.silence import guest_line

    require_name(instance, "an instance")
    with open_store() as services:
        found, up = services.views.instance(instance), services.views.hosts_up()
    (found,) = _seen((found,), up, as_json=as_json)
    found = found if as_json else guest_line(found)
    print_one(_with_retries(found), as_json=as_json)


def _with_retries(found: "InstanceView") -> "ShownInstance":
    from evacuation.views import ShownInstance

    if found.task_state is None:
        # Nothing is under way: nobody need be asked.
        return ShownInstance(**dict(found))
    from cli.retrying import shown

    return shown(settings(), found)


def _seen(found: "Sequence[InstanceView]", up: frozenset[str], *, as_json: bool) -> "tuple[InstanceView, ...]":
    """With when their hosts were seen last; which of those are silent is said."""
    from cli.seen import seen_guests
    from evacuation.silence import silences

    seen = seen_guests(settings(), found, up)
    for line in () if as_json else silences(seen):
        say(line)
    return seen


@instance_app.command(
    "evacuate",
    epilog=examples(
        "instance evacuate web-01",
        "instance evacuate web-01 web-02 db-01",
        "instance evacuate web-01 --target cmp-3 --json",
        "instance evacuate web-01 --wait-for-capacity 30m --no-wait",
        'instance evacuate web-01 --source-confirmed-off "unplugged, seen by Ann"',
    ),
)
def evacuate_instance(
    instances: InstancesArgument,
    target: Annotated[str | None, typer.Option(metavar="HOST", help="Evacuate to this host, and to no other.")] = None,
    target_state: Annotated[
        Literal["active", "stopped"] | None, typer.Option(help="State at the end (default: as it was).")
    ] = None,
    wait_for_capacity: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long to wait for a host that fits: 30s, 30m, 2h.")
    ] = None,
    join: Annotated[bool, typer.Option("--join", help="If an evacuation runs already, follow that one.")] = False,
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
    """Bring instances back on other hosts, after their host has died. Of several each has its own evacuation.

    Exit code: 0 all recovered (with --no-wait: accepted), 1 at least one not, 2 every one refused, 3 Temporal or the
    store was lost."""
    from cli.evacuating import Evacuate

    options = Evacuate(
        target=target,
        target_state=target_state,
        wait_for_capacity=wait_for_capacity,
        join=join,
        wait=wait,
        source_confirmed_off=source_confirmed_off,
    )
    if len(instances) > 1:
        from cli.several import run_evacuations

        raise typer.Exit(run_evacuations(settings(), instances, options, as_json=as_json))
    from cli.evacuations import run_evacuation

    raise typer.Exit(run_evacuation(settings(), instances[0], options, as_json=as_json))


@instance_app.command("cancel", epilog=examples("instance cancel web-01"))
def cancel_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Cancel the running evacuation of an instance, and wait until it is undone.

    Exit code: 0 cancelled, 1 it ended in another way, 2 none runs, or it is too late."""
    from cli.evacuations import cancel_evacuation

    raise typer.Exit(cancel_evacuation(settings(), instance, as_json=as_json))


@instance_app.command("delete", epilog=examples("instance delete web-01"))
def delete_instance(
    instance: InstanceArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    state_dir: StateDirOption = None,
) -> None:
    """Delete an instance, also in the middle of its evacuation. On a terminal it asks first."""
    from cli.deletions import delete_instance as delete

    delete(settings(), instance, yes=yes, as_json=as_json)


@instance_app.command(
    "retry", epilog=examples('instance retry web-01 --confirmed-harmless "its signal was mended, Ann"')
)
def retry_instance(
    instance: InstanceArgument,
    confirmed_harmless: Annotated[
        str, typer.Option(metavar="TEXT", help="Your word that its start harms no host, and how you know.")
    ],
    as_json: JsonOption = False,
    state_dir: StateDirOption = None,
) -> None:
    """Let an instance be tried on another host, though its start has cost one its worker.

    Its evacuation was blocked over that, or was refused. No second host is switched off for its sake in any case."""
    from cli.pardoning import retry

    retry(settings(), instance, confirmed_harmless, as_json=as_json)


@instance_app.command("start", epilog=examples("instance start web-01", "instance start web-01 --json"))
def start_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Start an instance on the host that it is on: one that has crashed, or was stopped."""
    from cli.in_place import start_instance as start

    start(settings(), instance, as_json=as_json)


@instance_app.command("stop", epilog=examples("instance stop web-01"))
def stop_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Power an instance off on its host, as if its plug were pulled: shut it down from inside first."""
    from cli.in_place import stop_instance as stop

    stop(settings(), instance, as_json=as_json)


@instance_app.command("moved", epilog=examples("instance moved web-01", "instance moved web-01 --json"))
def moved_instance(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Have the record of an instance follow its guest, which somebody has migrated to another host.

    Every host is asked at once. Only if exactly one has the guest running, with the mark of the one that may run, and
    its old host has it no more or is proven off, is the record changed. On the hosts nothing is."""
    from cli.in_place import follow_instance as follow

    follow(settings(), instance, as_json=as_json)
