"""The port `Observer`: what `check` sees beside the store."""

from collections.abc import Callable
from typing import Any, Protocol

from evacuation.invariants import Rows, SeenDisk, SeenGuest
from evacuation.ledger import Witness
from evacuation.model import Frozen


class Sight(Frozen):
    """What was seen of hosts and disks, each as `World` has it; `missing`: what could not be looked at, a line each."""

    guests: tuple[SeenGuest, ...] = ()
    strangers: tuple[SeenGuest, ...] = ()
    disks: tuple[SeenDisk, ...] = ()
    boots: dict[str, str | None] = {}
    identities: dict[str, str] = {}
    witnesses: tuple[Witness, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def of_the_world(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name != "missing"}


class Observer(Protocol):
    def look(self, read: Callable[[], Rows]) -> tuple[Rows, Sight]:
        """One look. `read` reads the store, after what hosts have seen of it: what is written meanwhile is no sign
        against it. What does not answer is told as missing, and is no error."""
        ...
