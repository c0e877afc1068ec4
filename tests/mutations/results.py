"""The results of the last run, kept beside its coverage: what it did not kill can be tried again."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.mutations.mutants import Mutant
from tests.mutations.playing import Result

FILE = "results.json"


def keep(directory: Path, results: Iterable[Result], minutes: float) -> None:
    kept = {"minutes": minutes, "results": [asdict(each) for each in results]}
    (directory / FILE).write_text(json.dumps(kept, indent=1))


def kept(directory: Path) -> tuple[list[Result], float]:
    """With the minutes that they took. Raises FileNotFoundError where there was no run."""
    found = json.loads((directory / FILE).read_text())
    return [Result(**(each | {"mutant": Mutant(**each["mutant"])})) for each in found["results"]], found["minutes"]


def merged(before: Iterable[Result], again: Iterable[Result]) -> list[Result]:
    """In the order of the first run."""
    newer = {each.mutant: each for each in again}
    return [newer.get(each.mutant, each) for each in before]
