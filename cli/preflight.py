"""How `host preflight` is shown."""

from collections.abc import Sequence

from cli.output import print_json, print_table, say
from evacuation.model import Frozen
from evacuation.preflight import Preflight


class _Line(Frozen):
    name: str
    can: bool
    destinations: tuple[str, ...]
    reasons: str


def print_preflight(host: str, found: Sequence[Preflight], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_table([_line(each) for each in found], tuple(_Line.model_fields))
    cannot = sum(not each.can for each in found)
    say(f"{host}: {len(found) - cannot} of {len(found)} instances would come back")


def _line(found: Preflight) -> _Line:
    return _Line(
        name=found.name,
        can=found.can,
        destinations=found.destinations,
        reasons="\n".join(found.reasons),
    )
