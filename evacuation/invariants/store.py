"""What the database itself is to keep out, so that no defect of a program can bring it in."""

from collections.abc import Iterator

from evacuation.invariants.breach import RECONCILE, Case, Rule, case
from evacuation.invariants.world import World

GUARDED = {
    "uq_residence_unproven": ("I1", "two places where a guest may run"),
    "uq_attachment_attached": ("I1", "two hosts that write to a volume"),
    "uq_attempt_instance_id_epoch": ("I2", "an epoch that is given twice"),
    "uq_evidence_current": ("I2", "evidence that counts twice"),
    "uq_evacuation_open": ("I3", "two evacuations of an instance at once"),
}
"""Of the constraints that carry a guarantee: which, and what they keep out. The others keep the records apart (I4)."""


def constraint_gone(world: World) -> Iterator[Case]:
    for flaw in world.rows.constraints:
        invariant, kept_out = GUARDED.get(flaw.what, ("I4", "rows that contradict each other"))
        yield case(flaw.table, flaw.what, invariant=invariant, kept_out=kept_out)


def refers_to_nothing(world: World) -> Iterator[Case]:
    for flaw in world.rows.references:
        yield case(f"{flaw.table} {flaw.row}", flaw.what)


def unknown_word(world: World) -> Iterator[Case]:
    for flaw in world.rows.words:
        yield case(f"{flaw.table} {flaw.row}", flaw.what)


def turn_gone(world: World) -> Iterator[Case]:
    if world.rows.fleets != 1 and (world.rows.instances or world.rows.fleets):
        yield case("loaded_fleet", number=world.rows.fleets)


def store_behind(world: World) -> Iterator[Case]:
    if world.why_behind is not None:
        yield case("ledger", why=world.why_behind)


RULES: tuple[Rule, ...] = (
    Rule(
        "constraint-gone",
        "I4",
        constraint_gone,
        "the unique constraint {about} is gone, or is another one: nothing keeps out {kept_out}",
        "stop the control workers, resolve what it would have kept out, and make it again as the migrations do",
    ),
    Rule("refers-to-nothing", "I4", refers_to_nothing, "its {about}, and there is no such row"),
    Rule("unknown-word", "I4", unknown_word, "its {about}, which means nothing here"),
    Rule(
        "store-behind",
        "I2",
        store_behind,
        "{why}: nothing is started",
        RECONCILE,
    ),
    Rule(
        "turn-gone",
        "I4",
        turn_gone,
        "there are {number} rows, and claims and loads take turns by the one with id 1",
        "load or adopt the fleet again",
    ),
)
