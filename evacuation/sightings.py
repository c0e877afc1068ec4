"""Guests that were seen where no residence is: nothing of their instance is started until its place is settled."""

from collections.abc import Sequence

from evacuation.errors import InstanceMisplacedError
from evacuation.model import Frozen


class Sighting(Frozen):
    """A guest that a host had running, in that boot, where nothing in the store allows it. `epoch` is of its mark, 0:
    it has none; `state` as its host says it."""

    host: str
    incarnation: str
    epoch: int
    state: str = "running"

    @property
    def place(self) -> str:
        mark = f"epoch {self.epoch}" if self.epoch else "without a mark"
        return f"{self.host} ({mark}, {self.state})"


def misplaced(name: str, recorded: str | None, seen: Sequence[Sighting]) -> InstanceMisplacedError:
    """Whoever is to start the instance is told where its guest was seen."""
    where = ", ".join(each.place for each in seen)
    hosts = ", ".join(dict.fromkeys(each.host for each in seen))
    return InstanceMisplacedError(
        f"{name} was seen on {where}, and is recorded on {recorded or 'no host'}: nothing of it starts",
        remedy=f"if it was migrated: evacuate instance moved {name}; else stop the copy on {hosts}",
    )
