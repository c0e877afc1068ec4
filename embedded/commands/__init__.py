"""The commands of the one-machine stack, mounted beside those that work on any."""

import typer

from cli.fleets import fleet_app
from cli.hosts import host_app
from cli.options import examples
from embedded.commands import demonstration, hosts, stacks


def mount(app: typer.Typer) -> None:
    app.command("demo", epilog=examples("demo", "demo --hosts 4 --instances 20", "demo --keep"))(demonstration.demo)
    app.command("up", epilog=examples("up", "up --detach --fleet fleet.yaml", "up --faults faults.yaml"))(stacks.up)
    app.command("down", epilog=examples("down", "--state-dir /tmp/lab down"))(stacks.down)
    fleet_app.command("load", epilog=examples("fleet load fleet.yaml"))(stacks.load_fleet)
    host_app.command("kill", epilog=examples("host kill cmp-1"))(hosts.kill_host)
    host_app.command("start", epilog=examples("host start cmp-1", "host start cmp-1 --no-wait"))(hosts.start_host)
