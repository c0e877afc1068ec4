"""How many small mistakes in the modules that carry the guarantees the tests see: python -m tests.mutations

Needs `make mutations`' packages. Writes docs/mutations.md; exits 1 when fewer than nine tenths are killed."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.mutations import covering, report, results
from tests.mutations.mutants import Mutant, all_mutants, sample
from tests.mutations.playing import Result, play
from tests.mutations.scope import ROOT

PAGE = ROOT / "docs" / "mutations.md"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--size", type=int, default=300, help="mutants in all (300)")
    parser.add_argument("--at-least", type=int, default=12, help="of each module (12)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (2)")
    parser.add_argument(
        "--seconds", type=float, default=90, help="tests for one mutant, at most, the quickest first (90)"
    )
    parser.add_argument("--only", default="", help="modules whose path has this in it; the page is not written")
    parser.add_argument(
        "--again", action="store_true", help="only what the last run did not kill, with the tests as they are now"
    )
    parser.add_argument("--coverage", type=Path, default=ROOT / ".mutations", help="where it is kept, and found again")
    return parser.parse_args()


def main() -> int:
    asked, started = options(), time.monotonic()
    chosen = sample(all_mutants(), size=asked.size, at_least=asked.at_least, seed=asked.seed)
    before, runs = _last_run(asked.coverage, chosen) if asked.again else ([], [])
    done = {each.mutant for each in before if each.state == "killed"}
    chosen = [mutant for mutant in chosen if mutant not in done and asked.only in mutant.file]
    if asked.again or not (asked.coverage / covering.FILES[1]).exists():
        covering.measure(asked.coverage)
    measured = covering.load(asked.coverage)
    played = list(_tell(play(chosen, measured, jobs=asked.jobs, most_seconds=asked.seconds), chosen))
    runs.append(results.Run.of(played, (time.monotonic() - started) / 60))
    found = results.merged(before, played) if asked.again else played
    judged = report.judge(found)
    for each in judged:
        if each.result.state != "killed" and not each.why:
            print(f"SURVIVED {each.result.mutant.name}\n  - {each.before}\n  + {each.after}")
    print("{:.1%} the same program, {:.1%} of the others killed".format(*report.score(judged)))
    if not asked.only:
        results.keep(asked.coverage, found, runs)
        command = f'make mutations MUTATIONS="--seed {asked.seed} --size {asked.size} --at-least {asked.at_least}"'
        PAGE.write_text(report.page(judged, command, runs))
    return 0 if report.is_green(judged) else 1


def _tell(played: Iterable[Result], chosen: Sequence[Mutant]) -> Iterator[Result]:
    for number, result in enumerate(played, 1):
        print(f"{number}/{len(chosen)} {result.state} {result.mutant.name} {result.by}", flush=True)
        yield result


def _last_run(directory: Path, chosen: Iterable[Mutant]) -> tuple[list[Result], list[results.Run]]:
    """Exits where there is none, or where it had other mutants."""
    if not (directory / results.FILE).exists():
        sys.exit(f"error: no run was kept in {directory}: run all of it, without --again")
    before, runs = results.kept(directory)
    if {*chosen} != {each.mutant for each in before}:
        sys.exit("error: the modules have changed since the last run, or it had another size or seed: run all of it")
    return before, runs


if __name__ == "__main__":
    sys.exit(main())
