"""What is known of which boot of which host is off, and who looks on while one is cut."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from evacuation import messages as m
from evacuation.model import Evidence, PowerReading


class EvidenceStore(Protocol):
    """What is known about which incarnation of which host is off."""

    def open_fence(self, request: m.FenceRequest) -> Evidence | None:
        """Note that a fence of (host, incarnation) has begun; one row however many evacuations share it. Returns
        current evidence if there is any. It holds nobody."""
        ...

    def registered_boot(self, host: str) -> str | None:
        """The incarnation under which the host registered last."""
        ...

    def begin_cut(self, request: m.FenceRequest, by: str, until: datetime) -> Evidence | None:
        """Before the power is cut. Under the host's lock: current evidence (a new incarnation is some) is returned, and
        it must not be cut; else the host is down, and whoever boots there waits until `end_cut` by the same, or
        `until`. Again by the same: the time is extended. Raises SourceReturnedError (it registered for the first time
        since), FenceDeclinedError (with `spare_others`: another unproven residence is there, or another host was cut
        over the starts of this instance)."""
        ...

    def require_cut(self, request: m.FenceRequest, by: str, until: datetime) -> None:
        """The cut is still as this execution announced it, and no other boot has registered. Raises CutOverError."""
        ...

    def end_cut(self, host: str, by: str, proofs: Sequence[Evidence], until: datetime | None = None) -> None:
        """The cut is over, and the proofs are recorded with it. None: it failed, and the host is what it was. With
        `until`, as announced, it ends only the cut of that execution: proofs that come late raise CutOverError."""
        ...

    def current_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        """Not voided, of that incarnation, and enough for the fencing policy; or, when the host has registered
        another incarnation since, evidence of kind new-incarnation. Storage evidence counts for the instance that
        is named, if it covers every disk that its guest could write."""
        ...

    def usable_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        """As `current_evidence`, for whoever acts by it. Raises PowerUnreadError, which names the hosts whose power is
        to be read first: an operator's word, and power-off evidence older than the policy's `reading_age`, count only
        after a reading that is not. So do the other calls that act by evidence: begin, record_preparation,
        authorize_spawn, record_guest_gone, open_fence, authorize_start, plan_deletion."""
        ...

    def accept(self, asked: m.AcceptIdentity) -> None:
        """Another board takes the name of the host, because a person says that nothing of the one before runs any more:
        that is evidence about its last boot, which neither the host's power nor a boot of the new board speaks for.
        Raises HostAnswersError (it has come up meanwhile, or who is found runs in a boot of before), HostIdentityError
        (it is another host's board), SourceNotFencedError (the policy asks for more than a word)."""
        ...

    def record_reading(self, host: str, reading: PowerReading, since: datetime) -> None:
        """The host's power was read, from `since` on. On: what was said of it before that is void. Else the reading
        serves all who rely on what is said of it, for the policy's `reading_age`."""
        ...

    def record_evidence(self, evidence: Evidence) -> Evidence:
        """Keep it and mark the host down, if that incarnation is still the registered one. Again: the first is
        kept and returned. Storage evidence is about disks, not the host: its disks are added to those known."""
        ...

    def void_evidence(self, host: str, incarnation: str, why: str) -> None:
        """The incarnation was seen alive: power-off and operator evidence about it is no longer current.
        Proofs already written stand."""
        ...


class OnlookerStore(Protocol):
    """Which hosts look on at a cut, and what they have shown."""

    def around(self, host: str) -> tuple[m.ProbeRequest, ...]:
        """Some tens of those that are up, the nearest in the fleet: entries are exchanged between neighbours."""
        ...

    def note_seen(self, host: str, by: str, names: Collection[str]) -> None:
        """They answered before that cut; kept until somebody ends it."""
        ...

    def concerned(self, host: str) -> tuple[m.ProbeRequest, ...]:
        """The host, and all that answered before a cut of it that nobody has ended."""
        ...

    def raise_alarm(self, request: m.FenceRequest, why: str) -> None:
        """Nothing cuts that boot any more, nor proves it off by its power, until `forget_alarm`."""
        ...

    def forget_alarm(self, request: m.FenceRequest) -> None: ...

    def require_no_alarm(self, request: m.FenceRequest) -> None:
        """Raises WrongMachineError."""
        ...
