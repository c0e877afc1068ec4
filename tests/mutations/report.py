"""The score as a page, and what keeps it from being right."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.mutations.playing import Result
from tests.mutations.results import Run
from tests.mutations.scope import MODULES, ROOT

KNOWN = Path(__file__).parent / "equivalent.yaml"
MOST_EQUIVALENT, FEWEST_KILLED = 0.1, 0.9


@dataclass(frozen=True)
class Judged:
    """A result, with the change that was made. `why`: it is the same program, for this reason."""

    result: Result
    before: str
    after: str
    why: str

    @property
    def row(self) -> str:
        mutant = self.result.mutant
        change = f"`{_cell(self.before)}` | `{_cell(self.after) or ' '}`"
        return f"| {mutant.file}:{mutant.line} {mutant.function} | {change} |"


def judge(results: Iterable[Result]) -> list[Judged]:
    known: list[dict[str, Any]] = yaml.safe_load(KNOWN.read_text()) or []
    reasons = {(k["file"], k["function"], k["before"], k["after"]): k["why"] for k in known}
    judged: list[Judged] = []
    for result in results:
        before, after = result.mutant.change((ROOT / result.mutant.file).read_text())
        why = reasons.get((result.mutant.file, result.mutant.function, before, after), "")
        judged.append(Judged(result, before, after, why if result.state != "killed" else ""))
    return judged


def score(judged: list[Judged]) -> tuple[float, float]:
    """(equivalent ones of all, killed ones of the others)."""
    others = [each for each in judged if not each.why]
    killed = sum(each.result.state == "killed" for each in others)
    return 1 - len(others) / len(judged), killed / max(1, len(others))


def is_green(judged: list[Judged]) -> bool:
    equivalent, killed = score(judged)
    return equivalent <= MOST_EQUIVALENT and killed >= FEWEST_KILLED


HEAD = """# Mutations

`{command}`: {mutants} mutants. {equivalent:.1%} are the same program; {killed:.1%} of the others are killed.

{runs}

Each mutant is one small change of a module that carries a guarantee, made by Cosmic Ray's operators and some of our own
(tests/mutations/operators.py), and is run against the tests that execute its line. The sample is the same for the same
seed and code, and has a least number for each module.

| module | mutants | killed | survived | no test | the same program |
|---|---|---|---|---|---|
"""


FIRST = "The first run killed {run.killed} of {run.mutants} in {run.minutes:.0f} minutes."
AGAIN = (
    "Then tests were written for those that were left, and these were tried again (`--again`): {run.killed} of\n"
    "{run.mutants} killed in {run.minutes:.0f} minutes. Another seed shows what tests are worth where nobody looked."
)


def page(judged: list[Judged], command: str, runs: list[Run]) -> str:
    """After the first run, and again after each that tried what it left."""
    equivalent, killed = score(judged)
    told = "\n".join([FIRST.format(run=runs[0]), *(AGAIN.format(run=each) for each in runs[1:])])
    head = HEAD.format(command=command, mutants=len(judged), runs=told, equivalent=equivalent, killed=killed)
    lines = [
        *(_line(module, [j for j in judged if j.result.mutant.module == module]) for module in MODULES),
        "",
        "## Survivors",
        "",
        *_table(each for each in judged if not each.why and each.result.state != "killed"),
        "",
        "## The same program",
        "",
        *_table((each for each in judged if each.why), with_reason=True),
        "",
    ]
    return head + "\n".join(lines)


def _line(module: str, judged: list[Judged]) -> str:
    states = Counter("equivalent" if each.why else each.result.state for each in judged)
    counts = (len(judged), states["killed"], states["survived"], states["uncovered"], states["equivalent"])
    return f"| {module} | {' | '.join(map(str, counts))} |"


def _table(rows: Iterable[Judged], *, with_reason: bool = False) -> list[str]:
    found = [f"{each.row} {_cell(each.why)} |" if with_reason else each.row for each in rows]
    head = "| where | before | after |" + (" why |" if with_reason else "")
    return [head, "|---" * (head.count("|") - 1) + "|", *found] if found else ["None."]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")
