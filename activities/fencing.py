"""Proof that a host is off, or that a guest there can write nothing, before any copy of it starts elsewhere."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from temporalio import activity

from activities.cutting import PowerCut, evidence_of
from activities.onlooking import Onlookers
from activities.power import PowerReader
from evacuation import messages as m
from evacuation.errors import (
    EvidenceMissingError,
    FenceFailedError,
    PowerReadsOnError,
    SourceNotFencedError,
    SourceReturnedError,
)
from evacuation.fencing import FencingPolicy
from evacuation.model import Evidence, EvidenceKind, PowerReading
from evacuation.ports import EvidenceStore, FencingDriver, StorageFence

Failure = FenceFailedError | SourceNotFencedError
Means = Callable[[m.FenceRequest], None]


class FencingActivities:
    """`policy` says what is tried, in which order, and when it is enough; whether it is, the store decides."""

    def __init__(
        self,
        evidence: EvidenceStore,
        fencing: FencingDriver,
        *,
        policy: FencingPolicy | None = None,
        storage: StorageFence | None = None,
        last_look: Callable[[], None] | None = None,
        onlookers: Onlookers | None = None,
    ) -> None:
        self._evidence = evidence
        self._fencing = fencing
        self._policy = policy or FencingPolicy()
        self._storage = storage
        self._power = PowerReader(evidence, fencing)
        self._onlookers = onlookers
        self._cuts = PowerCut(evidence, fencing, last_look, onlookers)
        self.all = [
            self.read_power,
            self.take_word,
            self.cut_power,
            self.accept_identity,
            self.fence_source,
            self.fence_destination,
            self.find_evidence,
            self.record_answer,
        ]

    @activity.defn(no_thread_cancel_exception=True)
    def read_power(self, query: m.PowerQuery) -> PowerReading:
        """What the host's power reads now. Off proves nothing: the fence reads it again; it is said after the grace,
        which is waited for here: where a server's timers cannot be set, its shortest takes a second. On voids what was
        said. Nobody who has gone on meanwhile interrupts it: a driver's first use imports what it is spoken with."""
        since, reading = datetime.now(UTC), self._power.read(query.host)
        if reading is PowerReading.ON:
            self._evidence.record_reading(query.host, reading, since)
        said = reading if self._policy.counts(EvidenceKind.POWER_OFF) else PowerReading.UNKNOWN
        if said is PowerReading.OFF:
            time.sleep(query.grace)
        return said

    @activity.defn(no_thread_cancel_exception=True)
    def take_word(self, request: m.FenceRequest) -> m.Done:
        """A person's statement is recorded, and the host is down. Raises PowerReadsOnError."""
        self._take_word(request)
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def cut_power(self, request: m.FenceRequest) -> m.Done:
        """That boot's power is cut and read back, whatever runs there, because a person says so; also where a cut has
        shown a wrong machine: they have looked. Raises SourceNotFencedError, FenceFailedError, WrongMachineError (it
        shows that again), SourceReturnedError (it has come up again since)."""
        # A word that somebody gave does not keep it from being cut.
        self._power.look(request.host)
        if activity.info().attempt == 1 and self._onlookers is not None:
            self._onlookers.forget(request)
        if activity.info().attempt > 1 and self._can_cut(request.host):
            self._cuts.read_back(request)
        self._cut_power(request)
        boot = self._evidence.registered_boot(request.host)
        if boot != request.incarnation:
            raise SourceReturnedError(
                f"{request.host} has come up since, as {boot}", remedy="look again, and ask again"
            )
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def accept_identity(self, request: m.AcceptIdentity) -> m.Done:
        """Another board takes the name of the host, because a person says that the one before runs nothing any more.
        Where nobody has seen another board, who is on is the one before. Raises PowerReadsOnError, HostAnswersError,
        HostIdentityError, SourceNotFencedError."""
        nobody_new = request.found is None and request.known is not None
        if nobody_new and self._power.look(request.host) is PowerReading.ON:
            raise PowerReadsOnError(
                f"the power of {request.host} reads on, and no other board has come by that name",
                remedy="start the host worker of the new board, and accept it then; or switch the old one off",
            )
        self._evidence.accept(request)
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def fence_source(self, request: m.FenceRequest) -> Evidence:
        """Current evidence for that incarnation is recorded, as much as the policy asks for: power read, cut if
        needed, read back; disks revoked; an operator's word. One fence per host and incarnation, however many
        evacuations share it."""
        return self._fence(request)

    @activity.defn(no_thread_cancel_exception=True)
    def fence_destination(self, request: m.FenceRequest) -> Evidence:
        """As `fence_source`, for a destination that does not answer: off is evidence whoever lives there, and so are
        this guest's revoked disks; but it is switched off only if no other unproven residence is there
        (FenceDeclinedError). A host that nothing here can switch off keeps its place in the store: it may answer
        again."""
        failures: list[Failure] = []
        proof = self._known(request) or self._first_proof(request, (self._read_power,), failures)
        is_unreadable = bool(failures)
        proof = proof or self._first_proof(request, (self._revoke_disks,), failures)
        if proof is not None:
            return proof
        if is_unreadable:
            self._give_up(request, failures)
        if not self._can_cut(request.host):
            self._refuse(request)
        return self._fence(request)

    @activity.defn(no_thread_cancel_exception=True)
    def find_evidence(self, query: m.EvidenceQuery) -> Evidence | None:
        """What the store knows by now: an operator's word, another evacuation's fence, a new incarnation."""
        return self._power.first(
            lambda: self._evidence.usable_evidence(query.host, query.incarnation, query.instance_id)
        )

    @activity.defn(no_thread_cancel_exception=True)
    def record_answer(self, answer: m.ProbeAnswer) -> m.Done:
        """The host's own worker was heard: that this boot of it is off is no evidence any more, for anybody."""
        self._evidence.void_evidence(answer.host, answer.incarnation, "its own worker answered")
        return m.Done()

    def _fence(self, request: m.FenceRequest) -> Evidence:
        repeated = activity.info().attempt > 1
        if repeated and self._can_cut(request.host):
            self._cuts.read_back(request)
        current = self._power.first(lambda: self._evidence.open_fence(request))
        if current is not None:
            if repeated:
                self._cuts.drop(request.host)
            return current
        by_kind: dict[EvidenceKind, Means] = {
            EvidenceKind.POWER_OFF: self._cut_power,
            EvidenceKind.STORAGE_REVOKED: self._revoke_disks,
            EvidenceKind.OPERATOR: self._take_word,
        }
        failures: list[Failure] = []
        means = tuple(by_kind[kind] for kind in self._policy.kinds)
        return self._first_proof(request, means, failures) or self._give_up(request, failures)

    def _first_proof(
        self, request: m.FenceRequest, means: tuple[Means, ...], failures: list[Failure]
    ) -> Evidence | None:
        """One after the other, until the store says that it is enough."""
        for gather in means:
            try:
                gather(request)
            except (FenceFailedError, SourceNotFencedError) as error:
                failures.append(error)
                continue
            proof = self._known(request)
            if proof is not None:
                return proof
        return None

    def _read_power(self, request: m.FenceRequest) -> None:
        if self._can_cut(request.host):
            self._cuts.record_off(request)

    def _cut_power(self, request: m.FenceRequest) -> None:
        if not self._fencing.is_able(request.host):
            self._refuse(request)
        self._cuts.cut(request)

    def _revoke_disks(self, request: m.FenceRequest) -> None:
        counts = self._policy.counts(EvidenceKind.STORAGE_REVOKED)
        if counts and self._storage is not None and self._storage.is_able(request.instance_id):
            self._storage.revoke(request, lambda: activity.heartbeat("revoking disks"))

    def _take_word(self, request: m.FenceRequest) -> None:
        """Not against a power that reads on."""
        if request.statement is not None:
            if self._power.look(request.host) is PowerReading.ON:
                raise _reads_on(request.host)
            word = evidence_of(request.host, request.incarnation, EvidenceKind.OPERATOR, request.who, request.statement)
            self._evidence.record_evidence(word)

    def _can_cut(self, host: str) -> bool:
        return self._policy.counts(EvidenceKind.POWER_OFF) and self._fencing.is_able(host)

    def _known(self, request: m.FenceRequest) -> Evidence | None:
        return self._power.first(
            lambda: self._evidence.usable_evidence(request.host, request.incarnation, request.instance_id)
        )

    def _give_up(self, request: m.FenceRequest, failures: list[Failure]) -> NoReturn:
        """What may succeed later decides whether it is tried again; where nothing failed, a person has to act."""
        if len(failures) == 1 and self._policy.required == 1:
            raise failures[0]
        why = "; ".join(failure.message for failure in failures) or "nothing more can be done here"
        first = next((each for each in failures if each.retryable), failures[0] if failures else None)
        kind = type(first) if first is not None and first.retryable else EvidenceMissingError
        raise kind(
            f"host {request.host} is not proven off, {self._policy} is asked for: {why}",
            remedy=f'make it sure, then say: evacuate host down {request.host} --confirmed-off "who saw it off, how"',
        )

    def _refuse(self, request: m.FenceRequest) -> NoReturn:
        kind = self._fencing.kind_of(request.host)
        raise SourceNotFencedError(
            f"host {request.host} is not fenced and the {kind} driver cannot cut its power",
            remedy=f'power it off, then say: evacuate host down {request.host} --confirmed-off "who saw it, how"',
        )


def _reads_on(host: str) -> PowerReadsOnError:
    return PowerReadsOnError(
        f"the power of {host} reads on: it is not off", remedy=f"evacuate host down {host} --power-off"
    )
