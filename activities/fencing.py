"""Proof that a host is off, or that a guest there can write nothing, before any copy of it starts elsewhere."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from temporalio import activity

from evacuation import messages as m
from evacuation.errors import EvidenceMissingError, FenceFailedError, SourceNotFencedError
from evacuation.fencing import FencingPolicy
from evacuation.model import Evidence, EvidenceKind
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
    ) -> None:
        self._evidence = evidence
        self._fencing = fencing
        self._policy = policy or FencingPolicy()
        self._storage = storage
        self.all = [
            self.read_power,
            self.fence_source,
            self.fence_destination,
            self.find_evidence,
            self.record_answer,
        ]

    @activity.defn
    def read_power(self, host: m.HostRef) -> bool:
        """Whether the host's power reads off by now. False: it reads on, or nothing here can read it. Proves nothing:
        nothing is recorded, and the fence reads it again."""
        try:
            return self._can_cut(host.host) and self._fencing.is_off(host.host)
        except FenceFailedError:
            return False

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
        return self._evidence.current_evidence(query.host, query.incarnation, query.instance_id)

    @activity.defn(no_thread_cancel_exception=True)
    def record_answer(self, answer: m.ProbeAnswer) -> m.Done:
        """The host's own worker was heard: that this boot of it is off is no evidence any more, for anybody."""
        self._evidence.void_evidence(answer.host, answer.incarnation, "its own worker answered")
        return m.Done()

    def _fence(self, request: m.FenceRequest) -> Evidence:
        current = self._evidence.open_fence(request)
        if current is not None:
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
        if self._can_cut(request.host) and self._fencing.is_off(request.host):
            self._record(request, EvidenceKind.POWER_OFF, self._fencing.kind_of(request.host), "power read: off")

    def _cut_power(self, request: m.FenceRequest) -> None:
        if not self._fencing.is_able(request.host):
            self._refuse(request)
        activity.heartbeat("reading power")
        was_off = self._fencing.is_off(request.host)
        activity.heartbeat("power read")
        if not was_off:
            self._fencing.power_off(request.host, lambda: activity.heartbeat("cutting power"))
            if not self._fencing.is_off(request.host):
                raise FenceFailedError(f"host {request.host} still reads on after a power-off")
        said = "power read: already off" if was_off else "power cut, read back: off"
        self._record(request, EvidenceKind.POWER_OFF, self._fencing.kind_of(request.host), said)

    def _revoke_disks(self, request: m.FenceRequest) -> None:
        counts = self._policy.counts(EvidenceKind.STORAGE_REVOKED)
        if counts and self._storage is not None and self._storage.is_able(request.instance_id):
            self._storage.revoke(request, lambda: activity.heartbeat("revoking disks"))

    def _take_word(self, request: m.FenceRequest) -> None:
        if request.statement is not None:
            self._record(request, EvidenceKind.OPERATOR, request.who, request.statement)

    def _can_cut(self, host: str) -> bool:
        return self._policy.counts(EvidenceKind.POWER_OFF) and self._fencing.is_able(host)

    def _known(self, request: m.FenceRequest) -> Evidence | None:
        return self._evidence.current_evidence(request.host, request.incarnation, request.instance_id)

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

    def _record(self, request: m.FenceRequest, kind: EvidenceKind, who: str, reason: str) -> None:
        self._evidence.record_evidence(
            Evidence(
                kind=kind,
                host=request.host,
                incarnation=request.incarnation,
                who=who,
                reason=reason,
                at=datetime.now(UTC),
            )
        )
