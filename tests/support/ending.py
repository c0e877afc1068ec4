"""Programs that make stacks and labs leave a clean machine also when they are told to end."""

import signal
import sys

TOLD = (signal.SIGINT, signal.SIGTERM)


def end_early_when_told() -> None:
    """The first SIGINT or SIGTERM unwinds this process, exit code 128 and its number; no other disturbs that."""
    for number in TOLD:
        signal.signal(number, _unwind)


def _unwind(number: int, _: object) -> None:
    for each in TOLD:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
