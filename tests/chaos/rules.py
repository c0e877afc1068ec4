"""The faults file of a batch: what brings each evacuation to its step, and what befalls it there."""

from typing import Any

from tests.chaos.plan import Cell
from tests.chaos.world import SOURCE

Rule = dict[str, Any]


def route_rules(cell: Cell) -> list[Rule]:
    """What sends an evacuation along the cell's route."""
    refused = {"activity": "spawn_guest", "at": "before", "do": "refuse", "instance": cell.instance}
    return {"undoing": [refused | {"times": 1}], "ending": [refused]}.get(cell.route, [])


def prelude_rules(cell: Cell) -> list[Rule]:
    held = {"activity": "spawn_guest", "do": "hold", "instance": cell.instance}
    return {"silent": [held | {"at": "before"}], "deleted": [held | {"at": "after"}]}.get(cell.route, [])


def cell_rule(cell: Cell) -> Rule:
    """The fault itself; or the hold, under which it is done from outside. A hold holds every try of the step."""
    if cell.kind.asks:
        return {"activity": cell.kind.asks, "at": cell.at, "host": SOURCE, "do": cell.kind.rule}
    rule = {"activity": cell.step, "at": cell.at, "instance": cell.instance}
    return rule | ({"do": cell.kind.rule, "times": 1} if cell.kind.rule else {"do": "hold"})
