"""The results of the last run, kept beside its coverage: what it did not kill can be tried again."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutations.mutants import Mutant
from tests.mutations.playing import Result

FILE = "results.json"


@dataclass(frozen=True)
class Run:
    """The first one, or one of what was left. `killed`: of how many `mutants`."""

    mutants: int
    killed: int
    minutes: float

    @classmethod
    def of(cls, played: list[Result], minutes: float) -> "Run":
        return cls(len(played), sum(each.state == "killed" for each in played), minutes)


def keep(directory: Path, results: Iterable[Result], runs: Iterable[Run]) -> None:
    kept = {"runs": [asdict(each) for each in runs], "results": [asdict(each) for each in results]}
    (directory / FILE).write_text(json.dumps(kept, indent=1))


def kept(directory: Path) -> tuple[list[Result], list[Run]]:
    """Raises FileNotFoundError where there was no run."""
    found = json.loads((directory / FILE).read_text())
    results = [Result(**(each | {"mutant": Mutant(**each["mutant"])})) for each in found["results"]]
    return results, [Run(**each) for each in found["runs"]]


def merged(before: Iterable[Result], again: Iterable[Result]) -> list[Result]:
    """In the order of the first run."""
    newer = {each.mutant: each for each in again}
    return [newer.get(each.mutant, each) for each in before]
