"""What a soak says: a line a minute for people, and the same as a line of JSON."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO


class Report:
    """`console` is kept from the start: commands that run in this process borrow stdout."""

    def __init__(self, out: Path | None, console: TextIO | None = None) -> None:
        self._console = console or sys.stdout
        self._out = out
        if out is not None:
            out.write_text("")

    def say(self, text: str) -> None:
        print(text, file=self._console, flush=True)

    def write(self, kind: str, **fields: Any) -> None:
        if self._out is not None:
            with self._out.open("a") as file:
                file.write(json.dumps({"kind": kind, **fields}, default=str) + "\n")

    def minute(self, now: Mapping[str, Any]) -> None:
        self.write("minute", **now)
        self.say(line(now))


def line(now: Mapping[str, Any]) -> str:
    """One line: elapsed; evacuations; faults; invariants; memory."""
    failed = sum(now["not_recovered"].values())
    reasons = f" ({_counted(now['not_recovered'])})" if failed else ""
    faults = sum(now["faults"].values())
    return "; ".join(
        [
            f"{clock(now['elapsed'])} round {now['round']}: {now['recovered']} recovered, {failed} not{reasons}, "
            f"{now['deleted']} deleted, {now['in_flight']} in flight",
            f"{faults} faults" + (f" ({_counted(now['faults'])})" if faults else ""),
            f"checked {now['checks']} times, {now['breaches']} breaches",
            "MiB " + ", ".join(f"{role} {'+'.join(map(_round, mib))}" for role, mib in now["rss_mib"].items()),
        ]
    )


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _round(mib: float) -> str:
    return str(round(mib))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in Counter(counts).most_common())
