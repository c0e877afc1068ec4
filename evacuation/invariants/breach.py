"""What a rule is, and what it says when it does not hold."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from evacuation.invariants.world import World
from evacuation.model import Frozen


class Breach(Frozen):
    """One thing that is not as it must be, and what to do about it. `about`: which thing of the subject's."""

    invariant: str
    subject: str
    message: str
    remedy: str
    rule: str
    about: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Two looks that find the same breach may tell it with other numbers."""
        return (self.rule, self.subject, self.about)


@dataclass(frozen=True)
class Case:
    """One case in which a rule does not hold, with what its line tells."""

    subject: str
    about: str = ""
    told: dict[str, object] = field(default_factory=dict[str, object])


def case(subject: str, about: str = "", **told: object) -> Case:
    return Case(subject, about, told)


Condition = Callable[[World], Iterable[Case]]
MEND = "mend the record that is wrong; it was changed out of band, or by a defect of this program"
RECONCILE = "run: evacuate store reconcile"
RECONCILE_FIRST = "end nothing and change nothing by this store; first run: evacuate store reconcile, then check again"


@dataclass(frozen=True)
class Rule:
    """A row of the table. `condition` finds the cases; `line` and `remedy` are filled with what a case tells. While the
    store is behind, no remedy goes by it: what it takes for a leftover may be the only copy."""

    name: str
    invariant: str
    condition: Condition
    line: str
    remedy: str = MEND

    def breaches(self, world: World) -> Iterator[Breach]:
        remedy = self.remedy if world.why_behind is None or self.remedy == RECONCILE else RECONCILE_FIRST
        for found in self.condition(world):
            told = {"subject": found.subject, "about": found.about, **found.told}
            yield Breach(
                invariant=str(found.told.get("invariant", self.invariant)),
                subject=found.subject,
                message=self.line.format_map(told),
                remedy=remedy.format_map(told),
                rule=self.name,
                about=found.about,
            )
