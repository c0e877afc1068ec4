"""What guests wrote to their disk, and what that says: who ran when, and whether two ran at once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path

_LINE = re.compile(rb"(\d+) (\d+) (\S+) (\S+) (\d+\.\d{3})")
_TAIL = 4096


@dataclass(frozen=True)
class Record:
    """One sign of life. `counter` grows by one from record to record, whoever writes."""

    counter: int
    epoch: int
    host: str
    instance_id: str
    at: datetime


@dataclass(frozen=True)
class Run:
    """Consecutive records of one guest."""

    epoch: int
    host: str
    first: Record
    last: Record


def _parse(line: bytes) -> Record | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    counter, epoch, host, instance_id, seconds = match.groups()
    at = datetime.fromtimestamp(float(seconds), UTC)
    return Record(int(counter), int(epoch), host.decode(), instance_id.decode(), at)


def records(text: bytes) -> list[Record]:
    """Whole records; a torn line, wherever it is, counts for nothing."""
    return [record for line in text.split(b"\n") if (record := _parse(line)) is not None]


def read_journal(path: Path) -> list[Record]:
    """Everything that was ever written there; nothing, if the disk does not exist yet."""
    return records(path.read_bytes()) if path.exists() else []


def recent_records(path: Path) -> list[Record]:
    """The last records of a disk (some dozens), at a cost that does not grow with it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return records(file.read())
    except FileNotFoundError:
        return []


def runs(records: Iterable[Record]) -> list[Run]:
    grouped = (list(group) for _, group in groupby(records, key=lambda record: (record.epoch, record.host)))
    return [Run(group[0].epoch, group[0].host, group[0], group[-1]) for group in grouped]


def breaches(records: Iterable[Record]) -> list[str]:
    """One line for every sign of two writers at once, or of lost data; empty for a healthy disk."""
    records = list(records)
    return interleaved(records) + discontinued(records)


def interleaved(records: list[Record]) -> list[str]:
    """One line for every sign of two writers at once."""
    seen: set[tuple[int, str]] = set()
    newest = 0
    found: list[str] = []
    for run in runs(records):
        if (run.epoch, run.host) in seen or run.epoch <= newest:
            found.append(
                f"{run.first.instance_id}: epoch {run.epoch} on {run.host} wrote at {run.first.at.isoformat()}, "
                f"after epoch {newest} had: two guests wrote to one disk"
            )
        seen.add((run.epoch, run.host))
        newest = max(newest, run.epoch)
    return found


def discontinued(records: list[Record]) -> list[str]:
    """One line for every write that was lost, or made twice."""
    return [
        f"{after.instance_id}: counter {before.counter} of {before.host} is followed by {after.counter} "
        f"of {after.host}: a write is lost, or was made twice"
        for before, after in pairwise(records)
        if after.counter != before.counter + 1
    ]
