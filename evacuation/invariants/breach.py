"""What a rule says when it does not hold."""

from collections.abc import Callable, Iterator

from evacuation.invariants.world import World
from evacuation.model import Frozen


class Breach(Frozen):
    """One thing that is not as it must be, and what to do about it."""

    invariant: str
    subject: str
    message: str
    remedy: str


Rule = Callable[[World], Iterator[Breach]]
