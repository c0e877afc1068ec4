"""Capacity, network and volumes, which may be somebody else's."""

from typing import Protocol

from evacuation import messages as m
from evacuation.model import Frozen


class Capacity(Protocol):
    """Room on hosts, claimed for an attempt and given back. No host is ever claimed beyond its totals."""

    def claim(self, message: m.ClaimCapacity) -> m.Destination:
        """Guarded (attempt n from (n-1, undone), or n again in forward: the same answer). One transaction:
        choose, write the destination's allocation under the instance, move the source's allocation to the
        migration id, give the attempt's epoch, note the destination in the migration, phase forward. Two claims
        cannot oversubscribe a host. Raises NoValidHostError, or CapacityNotYetError with `wait`; PoisonousStartError
        when a host fits, and the starts of the instance have cost others too much."""
        ...

    def release(self, ref: m.AttemptRef) -> None:
        """The attempt's allocation goes, the source's moves back to the instance; phase undone. The last
        compensation of an attempt. Refused with ResidenceNotProvenError while the attempt's guest may run."""
        ...


class Network(Protocol):
    """Port bindings. Each port has one active binding, on one host."""

    def bind(self, ref: m.AttemptRef, host: str) -> tuple[m.Nic, ...]:
        """Guarded (forward). Every port of the instance actively bound to the host; info re-read afterwards."""
        ...

    def unbind(self, ref: m.AttemptRef) -> None:
        """Compensation: bindings of this evacuation go, the source's are active again."""
        ...

    def is_bound(self, instance_id: str, host: str) -> bool:
        """Every port's one active binding is on the host."""
        ...


class Attachment(Frozen):
    """A volume's attachment for one instance. `connector` None: reserved, on no host."""

    id: str
    volume_id: str
    instance_id: str
    status: str
    connector: m.Connector | None
    target: m.VolumeTarget | None = None
    """Where the connector's host finds the data, if the volume service says so."""


class Volumes(Protocol):
    """The volume service: attachments, one connected at a time for a single-attach volume."""

    def attachment(self, attachment_id: str) -> Attachment | None: ...

    def attachments(self, volume_id: str, instance_id: str) -> tuple[Attachment, ...]:
        """All that the instance has on the volume, oldest first."""
        ...

    def made_by(self, ref: m.AttemptRef) -> tuple[Attachment, ...]:
        """All that this evacuation has reserved, on whichever volume, in whichever attempt."""
        ...

    def reserve(self, ref: m.AttemptRef, volume_id: str, name: str, *, undo: bool) -> str:
        """Guarded (forward, or undoing when `undo`). The id of the reserved attachment of that name."""
        ...

    def delete(self, ref: m.AttemptRef, attachment_id: str, *, undo: bool) -> None:
        """Guarded. Gone already is fine. The volume is never left available."""
        ...

    def complete(self, ref: m.AttemptRef, attachment_id: str, connector: m.Connector) -> None:
        """Guarded (forward). Attached to the connector's host. Again: no change."""
        ...
