"""Proof that a host is off, before any copy of its guests starts elsewhere."""

from datetime import UTC, datetime
from typing import NoReturn

from temporalio import activity

from evacuation import messages as m
from evacuation.errors import FenceFailedError, SourceNotFencedError
from evacuation.model import Evidence, EvidenceKind
from evacuation.ports import EvidenceStore, FencingDriver


class FencingActivities:
    def __init__(self, evidence: EvidenceStore, fencing: FencingDriver) -> None:
        self._evidence = evidence
        self._fencing = fencing
        self.all = [self.fence_source, self.fence_destination, self.find_evidence]

    @activity.defn(no_thread_cancel_exception=True)
    def fence_source(self, request: m.FenceRequest) -> Evidence:
        """Current evidence for that incarnation is recorded: power read, cut if needed, read back. One fence per
        host and incarnation, however many evacuations share it."""
        return self._fence(request)

    @activity.defn(no_thread_cancel_exception=True)
    def fence_destination(self, request: m.FenceRequest) -> Evidence:
        """As `fence_source`, for a destination that does not answer: off is evidence whoever lives there, but it
        is switched off only if no other unproven residence is there (FenceDeclinedError). A host that nothing here
        can switch off keeps its place in the store: it may answer again."""
        if not self._fencing.is_able(request.host):
            return self._known(request) or self._refuse(request)
        if self._fencing.is_off(request.host):
            return self._record(request, EvidenceKind.POWER_OFF, self._fencing.kind_of(request.host), "power read: off")
        return self._fence(request)

    @activity.defn(no_thread_cancel_exception=True)
    def find_evidence(self, query: m.EvidenceQuery) -> Evidence | None:
        """What the store knows by now: an operator's word, another evacuation's fence, a new incarnation."""
        return self._evidence.current_evidence(query.host, query.incarnation)

    def _fence(self, request: m.FenceRequest) -> Evidence:
        current = self._evidence.open_fence(request)
        if current is not None:
            return current
        try:
            return self._cut_power(request)
        except (FenceFailedError, SourceNotFencedError):
            if request.statement is None:
                raise
            return self._record(request, EvidenceKind.OPERATOR, request.who, request.statement)

    def _cut_power(self, request: m.FenceRequest) -> Evidence:
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
        return self._record(request, EvidenceKind.POWER_OFF, self._fencing.kind_of(request.host), said)

    def _known(self, request: m.FenceRequest) -> Evidence | None:
        return self._evidence.current_evidence(request.host, request.incarnation)

    def _refuse(self, request: m.FenceRequest) -> NoReturn:
        kind = self._fencing.kind_of(request.host)
        raise SourceNotFencedError(
            f"host {request.host} is not fenced and the {kind} driver cannot cut its power",
            remedy=f'power it off, then say: evacuate host down {request.host} --confirmed-off "who saw it, how"',
        )

    def _record(self, request: m.FenceRequest, kind: EvidenceKind, who: str, reason: str) -> Evidence:
        return self._evidence.record_evidence(
            Evidence(
                kind=kind,
                host=request.host,
                incarnation=request.incarnation,
                who=who,
                reason=reason,
                at=datetime.now(UTC),
            )
        )
