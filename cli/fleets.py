"""`evacuate fleet …`"""

import typer

from cli import adopting
from cli.options import StateDirOption, examples, new_group
from control.access import open_store

fleet_app = new_group(
    "fleet", "The fleet: hosts, networks, volumes, server groups, instances.", "load", "export", "adopt"
)
adopting.add_to(fleet_app)


@fleet_app.command("export", epilog=examples("fleet export > fleet.yaml"))
def export_fleet(state_dir: StateDirOption = None) -> None:
    """The fleet as the store has it now, as a fleet file on stdout."""
    from services.runtime.fleet_file import write_fleet

    with open_store() as services:
        typer.echo(write_fleet(services.fleet.export()), nl=False)
