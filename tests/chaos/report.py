"""The matrix as a table that a person reads, and as JSON."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from evacuation.model import Frozen
from tests.chaos.plan import KINDS, NOT_STRUCK, STEPS
from tests.chaos.play import Verdict

MARKS = {"green": "✓", "red": "✗", "n/a": "–"}
NOVA = {
    "control-killed": "stuck in rebuilding, also after the conductor is back (2 of 2)",
    "host-worker-killed": "stuck in that task_state, allocation on both hosts (3 of 3)",
    "destination-dead": "stuck in that task_state, allocation on both hosts (3 of 3)",
    "source-returns": "finishes; the source's guest was gone before the destination's was up (2 of 2)",
    "temporal-killed": "message bus killed, back after 10 s: finishes (1 of 1)",
    "store-unreachable": "conductor away for 80 s: error while the guest runs, then two live guests (1 of 2)",
}
"""What Nova 34.0.0 did in the nearest situation: the same size of machine, real services, fake hypervisor."""


class Again(Frozen):
    """Batches that were played again after the run, for the cells that were red in it: red, as the page named them."""

    day: str
    red: tuple[str, ...]
    cells: int


class Run(Frozen):
    """How the matrix was made. `instances`: of cells and of those that were evacuated beside them."""

    command: str
    day: str
    seed: int
    scale: float
    minutes: float
    instances: int
    strikes: int
    again: tuple[Again, ...] = ()


def write(verdicts: Sequence[Verdict], run: Run, markdown: Path, data: Path) -> None:
    markdown.write_text("\n".join(_page(verdicts, run)) + "\n", encoding="utf-8")
    rows = [verdict.model_dump(mode="json") for verdict in verdicts]
    data.write_text(json.dumps({"run": run.model_dump(), "cells": rows}, indent=1) + "\n", encoding="utf-8")


def read(data: Path) -> tuple[list[Verdict], Run]:
    """What `write` wrote."""
    content = json.loads(data.read_text(encoding="utf-8"))
    return [Verdict.model_validate(cell) for cell in content["cells"]], Run.model_validate(content["run"])


def corrected(verdicts: Sequence[Verdict], run: Run, played: Sequence[Verdict], day: str) -> tuple[list[Verdict], Run]:
    """The matrix with what was played again in the place of what it was before; the page tells of it."""
    newer = {each.key: each for each in played}
    again = Again(day=day, red=tuple(_line(v) for v in verdicts if v.result == "red"), cells=len(played))
    return [newer.get(v.key, v) for v in verdicts], run.model_copy(update={"again": (*run.again, again)})


def _page(verdicts: Sequence[Verdict], run: Run) -> Iterable[str]:
    counts = {result: sum(v.result == result for v in verdicts) for result in MARKS}
    yield "# Fault matrix"
    yield ""
    yield (
        "Every step of an evacuation, before and after its effect, under every kind of fault; each cell an instance of "
        "its own on the real embedded stack, evacuated together with the others of its batch and three more (a pair "
        "of an anti-affinity group, and one with two volumes). A cell is green when its fault came to pass, its "
        "evacuation ended as the [table of endings](design.md#how-an-evacuation-ends) says, and all invariants hold by "
        "three independent sources: the store (`evacuate check`), the processes, and the guests' disks; and once more "
        "after every dead host has returned."
    )
    yield ""
    yield f"Made by `{run.command}` on {run.day}, seed {run.seed}, timeouts × {run.scale:g}."
    yield ""
    yield (
        f"**{counts['green']} green, {counts['red']} red, {counts['n/a']} impossible** of {len(verdicts)} cells; "
        f"{run.instances} instances evacuated under {run.strikes} faults in {run.minutes:.0f} minutes."
    )
    yield ""
    yield "In a cell: with disk locks, then without them. ✓ green, ✗ red, – impossible."
    yield ""
    yield from _table(verdicts)
    yield ""
    yield "## Faults"
    yield ""
    yield from (f"- **{kind.name}**: {kind.what}" for kind in KINDS)
    yield ""
    yield from _impossible(verdicts)
    yield "Without cells, and why:"
    yield ""
    yield from (f"- {step}: {why}" for step, why in NOT_STRUCK.items())
    yield ""
    yield from _times(verdicts)
    yield from _red(verdicts)
    yield from _again(run)


def _table(verdicts: Sequence[Verdict]) -> Iterable[str]:
    marks: dict[tuple[str, str, str], str] = defaultdict(str)
    for verdict in sorted(verdicts, key=lambda v: not v.disk_lock):
        marks[verdict.step, verdict.at, verdict.kind] += MARKS[verdict.result]
    kinds = [kind.name for kind in KINDS if any(v.kind == kind.name for v in verdicts)]
    yield "| step | at | " + " | ".join(kinds) + " |"
    yield "|---|---|" + "---|" * len(kinds)
    for steps in STEPS.values():
        for step in steps:
            for at in ("before", "after"):
                cells = (marks.get((step, at, kind), "") for kind in kinds)
                yield f"| {step} | {at} | " + " | ".join(cells) + " |"


def _impossible(verdicts: Sequence[Verdict]) -> Iterable[str]:
    reasons: dict[str, set[str]] = defaultdict(set)
    for verdict in verdicts:
        if verdict.result == "n/a":
            reasons[verdict.reasons[0]].add(verdict.kind)
    if reasons:
        yield "Impossible, and why:"
        yield ""
        yield from (f"- {reason}: {', '.join(sorted(kinds))}" for reason, kinds in sorted(reasons.items()))
        yield ""


def _times(verdicts: Sequence[Verdict]) -> Iterable[str]:
    yield "## Time to recover"
    yield ""
    yield (
        "Seconds from the fault to the end of each struck evacuation (for the frozen ones and the store the time away "
        "is in it). Next to it, where it was measured, where Nova 34.0.0 ended by itself."
    )
    yield ""
    yield "| fault | evacuations | median | worst | Nova |"
    yield "|---|---|---|---|---|"
    for kind in KINDS:
        took = [v.seconds for v in verdicts if v.kind == kind.name and v.seconds is not None]
        if kind.scope == "process" and took:
            nova = NOVA.get(kind.name, "not measured")
            yield f"| {kind.name} | {len(took)} | {median(took):.1f} | {max(took):.1f} | {nova} |"
    yield ""


def _red(verdicts: Sequence[Verdict]) -> Iterable[str]:
    red = [verdict for verdict in verdicts if verdict.result == "red"]
    if not red:
        return
    yield "## Red"
    yield ""
    yield from (f"- {_line(verdict)}" for verdict in red)
    yield ""


def _again(run: Run) -> Iterable[str]:
    for each in run.again:
        yield "## Played again"
        yield ""
        yield f"On {each.day} with `--again`: {each.cells} cells, those of every batch in which one was red in the run:"
        yield ""
        yield from (f"- {line}" for line in each.red)
        yield ""


def _line(v: Verdict) -> str:
    lock = "with" if v.disk_lock else "without"
    # An error of a command has several lines.
    reasons = " ".join("; ".join(v.reasons).split())
    return f"{v.kind} {v.at} {v.step} {lock} disk locks ({v.outcome or 'not begun'}): {reasons}"
