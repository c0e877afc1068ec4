"""The soak: python -m tests.soak --help"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.servers import Postgres, database, postgres
from tests.soak.fleet import fleet
from tests.soak.options import Options, parse
from tests.soak.report import Report
from tests.soak.soak import Account, Soak
from tests.support.ending import end_early_when_told
from tests.support.stack import Stack

HOLD = "5"
"""Seconds (times the scale) for which a silent destination is asked before it is fenced."""
CONTROL_WORKERS = "2"
"""While one of them is frozen the other one works."""
CACHED_WORKFLOWS = "8"
"""Terminated runs stay in a worker's cache until it is full: it is to be full before memory is judged."""


@contextmanager
def stack_for(options: Options) -> Iterator[tuple[Stack, Postgres | None]]:
    """A stack of its own, with a Temporal of its own, up; nothing of it is left afterwards."""
    with ExitStack() as own:
        directory = options.keep or Path(own.enter_context(tempfile.TemporaryDirectory(prefix="evacuate-soak-")))
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        settings = {
            "EVACUATE_TIME_SCALE": str(options.scale),
            "EVACUATE_HOLD": HOLD,
            "EVACUATE_CONTROL_WORKERS": CONTROL_WORKERS,
            "EVACUATE_CONTROL_CACHED_WORKFLOWS": CACHED_WORKFLOWS,
        }
        server: Postgres | None = None
        if options.database == "postgres":
            (directory / "postgres").mkdir()
            server = own.enter_context(postgres(directory / "postgres"))
            settings["EVACUATE_DATABASE_URL"] = own.enter_context(database(server))
        stack = Stack(directory, None, settings=settings)
        own.callback(stack.down)
        hosts, instances = options.hosts, options.instances
        stack.up(fleet(options.seed, hosts=hosts, instances=instances, disk_lock=options.locks), [])
        yield stack, server


def soak(options: Options, report: Report) -> Account:
    with stack_for(options) as (stack, server):
        return Soak(stack, options, server, report).run()


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    report = Report(options.out)
    asked = f"{options.minutes:g} minutes, {options.rate:g} faults a minute, seed {options.seed}, {options.database}"
    report.say(f"soak: {asked}")
    account = soak(options, report)
    for each in account.longest:
        report.say(f"{each.count} x {each.workflow}: at most {each.events} events, {each.bytes} bytes ({each.longest})")
    growth = ", ".join(f"{role} {mib:+.2f}" for role, mib in account.growth.items())
    report.say(f"growth in MiB a minute: {growth or 'no process lived long enough to be judged'}")
    report.say(f"rows: {', '.join(f'{table} {count}' for table, count in account.rows.items())}")
    for reason in account.reasons:
        print(f"red: {reason}", file=sys.stderr)
    report.say(f"{account.minutes:.1f} minutes, {'red' if account.reasons else 'green'}")
    return 1 if account.reasons else 0


if __name__ == "__main__":
    end_early_when_told()
    sys.exit(main())
