"""A process that looks for a pattern in lines, to be killed at any moment: a match cannot be interrupted, and nothing
else of its process runs meanwhile. One that takes too much of the processor's time ends itself.

Run as a program; it needs the standard library alone. Each line of its input is a request, `{"pattern": …}` with
`"file"` (the newest part of it) or `"lines"`; the answer is `{"found": …}`, or `{"wrong": why}` where the pattern
cannot be read. It ends when its standard input does.
"""

import json
import re
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TAIL = 1 << 20
"""Bytes, of a console's newest part."""
LONGEST_LINE = 1024
"""Characters; what is behind them is not looked at."""
MOST_TIME = 1.0
"""Seconds of the processor's time that one answer may take."""
MOST_MEMORY = 1 << 28
OUT_OF_TIME = signal.SIGVTALRM
"""What ends a process whose match took longer."""


def lines_of(path: Path) -> list[str]:
    """Raises OSError."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.removesuffix("\r")[:LONGEST_LINE] for line in text.split("\n")]


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    try:
        pattern = re.compile(request["pattern"])
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        return {"wrong": str(error) or type(error).__name__}
    lines: Iterable[str] = lines_of(Path(request["file"])) if "file" in request else request["lines"]
    return {"found": any(pattern.search(line) for line in lines)}


def main() -> None:
    signal.signal(OUT_OF_TIME, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_VIRTUAL, MOST_TIME)
        answer = answer_to(json.loads(line))
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
