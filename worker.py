"""The workers of Evacuate. Settings are environment variables that begin with
EVACUATE_: see docs/operations.md.

control  serves workflows and the activities of the store and the services; any
         number may run
host     serves one compute host (--host H), needs only its hypervisor, and runs
         once per host
storage  keeps the daemon of the NBD volumes running (EVACUATE_VOLUMES=nbd), on
         the control workers' machine
"""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import structlog

from evacuation.errors import EvacuateError
from services.runtime.exits import error_line, exit_code
from services.runtime.logs import configure_logs
from services.runtime.stack_record import settings_for
from workers.memory import hold_little, keep_tidy

EXAMPLES = """examples:
  evacuate-worker control
  evacuate-worker host --host cmp-2
"""


async def until_stopped(serve: Coroutine[None, None, None]) -> None:
    """Serve until SIGTERM or SIGINT; then the workers take nothing new and finish what they have."""
    hold_little()
    task, loop = asyncio.ensure_future(serve), asyncio.get_running_loop()
    tidying = asyncio.create_task(keep_tidy())

    def stop() -> None:
        structlog.stdlib.get_logger("worker").info("stopping")
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        tidying.cancel()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="evacuate-worker",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=("control", "host", "storage"), help="what to serve")
    parser.add_argument("--host", help="the compute host, by its name in the fleet")
    parser.add_argument(
        "--boot",
        action="store_true",
        help="the worker's start is the host's boot: for a container that is a whole compute host",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        help="the embedded stack's directory, or where the process hypervisors have their hosts and disks",
    )
    arguments = parser.parse_args()
    if (arguments.kind == "host") != bool(arguments.host):
        parser.error("`host` needs --host H, and the others take none")
    if arguments.boot and not arguments.host:
        parser.error("only a host boots")
    return arguments


def run(arguments: argparse.Namespace) -> None:
    settings = settings_for(arguments.state_dir)
    configure_logs(settings, worker=arguments.host or arguments.kind)
    if arguments.kind == "control":
        from workers.control import serve_control

        asyncio.run(until_stopped(serve_control(settings)))
        return
    if arguments.kind == "storage":
        from workers.storage import serve_storage

        asyncio.run(until_stopped(serve_storage(settings)))
        return
    from workers.host import only_worker_of, serve_host

    with only_worker_of(settings, arguments.host, boot=arguments.boot):
        asyncio.run(until_stopped(serve_host(settings, arguments.host)))


def main() -> None:
    """Console script `evacuate-worker`. What it imports is no garbage: collections begin when it serves."""
    gc.disable()
    try:
        run(parse())
    except EvacuateError as error:
        print(error_line(error), file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
