"""How `host preflight` is shown."""

from collections.abc import Sequence

from cli.output import print_json, print_table, say
from cli.power_checks import of_host, told
from evacuation.model import Frozen
from evacuation.power_check import PowerCheck
from evacuation.preflight import Preflight


class _Line(Frozen):
    name: str
    can: bool
    destinations: tuple[str, ...]
    reasons: str


class _Document(Preflight):
    """`power`: of its host, and of others where something is wrong with it. None: it was not read. `host_notes`: of its
    host, by its own report."""

    power: tuple[PowerCheck, ...] | None
    host_notes: tuple[str, ...]


def print_preflight(
    host: str,
    found: Sequence[Preflight],
    checks: Sequence[PowerCheck] | None,
    notes: Sequence[str] = (),
    *,
    as_json: bool,
) -> None:
    if as_json:
        power = None if checks is None else of_host(host, checks)
        print_json([_Document(**dict(each), power=power, host_notes=tuple(notes)) for each in found])
    else:
        print_table([_line(each) for each in found], tuple(_Line.model_fields))
    for line in notes:
        say(f"{host}: {line}")
    for line in told(host, checks) if checks else ():
        say(line)
    cannot = sum(not each.can for each in found)
    say(f"{host}: {len(found) - cannot} of {len(found)} instances would come back")


def is_sound(host: str, found: Sequence[Preflight], checks: Sequence[PowerCheck] | None) -> bool:
    """All would come back, and nothing is known to be wrong with the host's own power."""
    wrong = any(each.problem for each in checks or () if each.host == host)
    return all(each.can for each in found) and not wrong


def _line(found: Preflight) -> _Line:
    return _Line(
        name=found.name,
        can=found.can,
        destinations=found.destinations,
        reasons="\n".join(found.reasons),
    )
