"""Lists of what the store knows: migrations, actions, allocations, ports, volumes."""

import typer

from cli.inputs import require_name
from cli.options import InstanceArgument, JsonOption, StateDirOption, examples, new_group
from cli.output import print_json, print_rows, print_table
from control.access import open_store

migration_app = new_group("migration", "Migration records: one per evacuation.")
action_app = new_group("action", "Instance actions and their events: what was done to an instance, step by step.")
allocation_app = new_group("allocation", "Allocations: who holds how much of which host.")
port_app = new_group("port", "Ports and where they are bound.")
volume_app = new_group("volume", "Volumes and their attachments.")

MIGRATION = ("id", "instance_id", "type", "status", "source", "destination", "created_at", "updated_at")
EVENT = ("name", "attempt", "host", "result", "started_at", "finished_at", "details")
ALLOCATION = ("consumer_id", "host", "vcpus", "memory_mb", "disk_gb")
PORT = ("id", "instance_id", "host", "mac", "ip", "status")
VOLUME = ("id", "name", "status", "attachments")


@migration_app.command("list", epilog=examples("migration list", "migration list --json"))
def list_migrations(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Every migration record, oldest first."""
    with open_store() as services:
        print_rows(services.views.migrations(), MIGRATION, as_json=as_json)


@action_app.command("list", epilog=examples("action list web-01", "action list web-01 --json"))
def list_actions(instance: InstanceArgument, as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """The actions on an instance, with every event."""
    require_name(instance, "an instance")
    with open_store() as services:
        actions = services.views.actions(services.views.resolve_instance(instance))
    if as_json:
        print_json(actions)
        return
    for action in actions:
        print_table(action.events, EVENT, title=f"{action.action}, request {action.request_id}")


@allocation_app.command("list", epilog=examples("allocation list", "allocation list --json"))
def list_allocations(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Every allocation: held by an instance, or by a migration while its source is not yet given up."""
    with open_store() as services:
        print_rows(services.views.allocations(), ALLOCATION, as_json=as_json)


@port_app.command("list", epilog=examples("port list", "port list --json"))
def list_ports(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Every port."""
    with open_store() as services:
        print_rows(services.views.ports(), PORT, as_json=as_json)


@volume_app.command("list", epilog=examples("volume list", "volume list --json"))
def list_volumes(as_json: JsonOption = False, state_dir: StateDirOption = None) -> None:
    """Every volume with its attachments."""
    with open_store() as services:
        print_rows(services.views.volumes(), VOLUME, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    for group in (migration_app, action_app, allocation_app, port_app, volume_app):
        app.add_typer(group)
