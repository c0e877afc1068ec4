"""Which machine a BMC has to switch, and whether it does."""

from collections.abc import Collection
from dataclasses import dataclass

from evacuation.errors import BmcIdentityError
from evacuation.ports import Identities
from evacuation.system_uuid import is_same, spellings, system_uuid


class NothingKnown:
    """Implements the port `Identities` where there is no store."""

    def uuid_of(self, host: str) -> str | None:
        return None

    def owner_of(self, uuids: Collection[str]) -> str | None:
        return None


@dataclass(frozen=True)
class Wanted:
    """The machine that is this host. `uuid`: what its BMC has to say; None: nobody knows. `own`: the host says it of
    itself, so that it is no other host's."""

    host: str
    uuid: str | None
    own: bool
    identities: Identities

    def require(self, said: str | None) -> None:
        """A BMC that says another UUID is another machine's, and so is one that says another host's. One that says none
        is believed. Raises BmcIdentityError."""
        if said is None:
            return
        is_ours = self.uuid is None or is_same(self.uuid, said)
        if is_ours and self.own:
            return
        owner = self.identities.owner_of(spellings(said))
        if not is_ours or owner not in (None, self.host):
            raise self._another(said, owner)

    def doubt(self, said: str | None) -> str | None:
        """Why `said` shows nothing."""
        if said is None:
            return f"the BMC of {self.host} does not say which machine it is: nothing shows that its entry is right"
        if self.uuid is None:
            return f"{self.host} has never said which machine it is: nothing shows that its BMC entry is right"
        return None

    def _another(self, said: str, owner: str | None) -> BmcIdentityError:
        ours = f"{self.host} is {self.uuid}" if self.uuid else f"which {self.host} is, is not known"
        return BmcIdentityError(
            f"the BMC of {self.host} switches another machine: {said}{f', which is {owner}' if owner else ''}; {ours}",
            remedy=f"correct the entry of {self.host} in the BMC file"
            + ("" if owner else f"; if a look at the machine shows that it is right, add to it uuid: {said}"),
        )


def wanted(host: str, entry: str | None, identities: Identities) -> Wanted:
    """`entry`: the UUID in the host's entry; without one it is the host's own."""
    found = system_uuid(entry or identities.uuid_of(host))
    return Wanted(host, found, own=entry is None and found is not None, identities=identities)
