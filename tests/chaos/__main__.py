"""The fault matrix: python -m tests.chaos --help"""

import argparse
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.jobs import Batches, Played, play_all
from tests.chaos.matrix import SCALE, batches, batches_with
from tests.chaos.plan import KINDS, STEPS
from tests.chaos.play import Verdict
from tests.chaos.report import Run, corrected, read, write
from tests.support.ending import end_early_when_told

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE, DATA = "fault-matrix.md", "fault-matrix.json"
TODAY = f"{datetime.now(UTC):%Y-%m-%d}"
JOBS = 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The fault matrix.")
    parser.add_argument("--kind", action="append", default=[], choices=[k.name for k in KINDS], help="only this fault")
    steps = [step for route in STEPS.values() for step in route]
    parser.add_argument("--step", action="append", default=[], choices=steps, help="only this step")
    parser.add_argument("--locks", choices=("on", "off", "both"), default="both", help="disk locks of the fleet")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random; a failure's seed replays it")
    parser.add_argument("--scale", type=float, default=SCALE, help="of every timeout")
    parser.add_argument("--jobs", type=int, default=JOBS, help="batches at once, each with servers of its own")
    parser.add_argument(
        "--again", action="store_true", help="only the batches with a red cell in the folder's matrix, in its place"
    )
    parser.add_argument("--out", type=Path, help="a folder for fault-matrix.md and .json; docs/ for a whole matrix")
    options = parser.parse_args()
    if options.again and (options.kind or options.step or options.locks != "both"):
        parser.error("--again plays what was red: it takes no --kind, --step or --locks")
    if options.again and not ((options.out or DOCS) / DATA).is_file():
        parser.error(f"there is no {DATA} in {options.out or DOCS}: play the matrix first")
    return options


def say(played: Played, progress: str, *, seed: int, scale: float) -> None:
    first = played.verdicts[0]
    counts = {result: sum(v.result == result for v in played.verdicts) for result in ("green", "red", "n/a")}
    lock = "locks" if first.disk_lock else "no locks"
    text = f"{progress} {first.kind}, {first.route} {first.at}, {lock}: {counts} in {played.seconds:.0f} s"
    print(text, file=sys.stderr, flush=True)
    for verdict in played.verdicts:
        if verdict.result == "red":
            text = f"  RED {verdict.at} {verdict.step} ({verdict.outcome}): {'; '.join(verdict.reasons)}"
            print(text, file=sys.stderr, flush=True)
    if counts["red"]:
        lock = "on" if first.disk_lock else "off"
        text = f"  replay: python -m tests.chaos --kind {first.kind} --locks {lock} --seed {seed} --scale {scale:g}"
        print(text, file=sys.stderr, flush=True)


def play(wanted: Batches, *, jobs: int, seed: int, scale: float) -> list[Played]:
    played = list[Played]()
    with closing(play_all(wanted, jobs=jobs, seed=seed, scale=scale)) as batches_played:
        for each in batches_played:
            played.append(each)
            say(each, f"{len(played)}/{len(wanted)}", seed=seed, scale=scale)
    return played


def from_the_start(options: argparse.Namespace) -> tuple[list[Verdict], Run]:
    locks = {"on": (True,), "off": (False,), "both": (True, False)}[options.locks]
    began = time.monotonic()
    wanted = list(batches(kinds=options.kind, steps=options.step, locks=locks))
    played = play(wanted, jobs=options.jobs, seed=options.seed, scale=options.scale)
    run = Run(
        command=" ".join(["python -m tests.chaos", *sys.argv[1:]]),
        day=TODAY,
        seed=options.seed,
        scale=options.scale,
        minutes=(time.monotonic() - began) / 60,
        instances=sum(each.instances for each in played),
        strikes=sum(each.strikes for each in played),
    )
    return [verdict for each in played for verdict in each.verdicts], run


def again(options: argparse.Namespace, folder: Path) -> tuple[list[Verdict], Run]:
    """With the seed and the scale of the run."""
    verdicts, run = read(folder / DATA)
    red = {verdict.key for verdict in verdicts if verdict.result == "red"}
    if not red:
        return verdicts, run
    played = play(list(batches_with(red)), jobs=options.jobs, seed=run.seed, scale=run.scale)
    return corrected(verdicts, run, [verdict for each in played for verdict in each.verdicts], TODAY)


def main() -> int:
    options = parse()
    whole = not options.kind and not options.step and options.locks == "both"
    folder = options.out or (DOCS if whole or options.again else None)
    verdicts, run = again(options, folder or DOCS) if options.again else from_the_start(options)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write(verdicts, run, folder / PAGE, folder / DATA)
    red = sum(verdict.result == "red" for verdict in verdicts)
    print(f"{len(verdicts)} cells, {red} red, {run.minutes:.1f} minutes", file=sys.stderr)
    return 1 if red or not verdicts else 0


if __name__ == "__main__":
    end_early_when_told()
    sys.exit(main())
