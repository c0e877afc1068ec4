"""Who a host is: the hypervisor and the machine that answer by its name, and who answered by it before."""

from datetime import datetime
from typing import Self

from evacuation.model import Frozen


class Identity(Frozen):
    """It is the same after every boot; another board, or a system that was reinstalled, has another."""

    hypervisor_uuid: str
    machine_id: str

    @classmethod
    def of(cls, found: "Identity") -> Self:
        """Nothing but the identity of what says more."""
        return cls(hypervisor_uuid=found.hypervisor_uuid, machine_id=found.machine_id)

    def __str__(self) -> str:
        return f"hypervisor {self.hypervisor_uuid} on machine {self.machine_id}"


class SeenIdentity(Identity):
    """Somebody, in one boot."""

    incarnation: str


class RefusedIdentity(SeenIdentity):
    """Who came back by the name of a host last, and is not who the store knows. `why` is what it was told."""

    why: str
    refused_at: datetime


class ReplacedIdentity(SeenIdentity):
    """Who a host was, until that boot, which was its last. `who` has said that it runs nothing any more, and how they
    know it. `seen_at`: that boot was heard of all the same."""

    who: str
    said: str
    said_at: datetime
    seen_at: datetime | None = None
