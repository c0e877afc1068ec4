"""The cutting of a host's power: announced, ordered, read back, and what it proves."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.onlooking import Onlookers
from evacuation import messages as m
from evacuation.errors import CutOverError, FenceFailedError, NobodyWaitsError, WrongMachineError
from evacuation.model import Evidence, EvidenceKind
from evacuation.ports import EvidenceStore, FencingDriver

LONGEST_CUT = timedelta(minutes=1)


class PowerCut:
    """Cuts the power of hosts. Every execution of an activity takes over what the one before it announced."""

    def __init__(
        self,
        evidence: EvidenceStore,
        fencing: FencingDriver,
        last_look: Callable[[], None] | None = None,
        onlookers: Onlookers | None = None,
    ) -> None:
        """Without `onlookers` it is believed that the power that is cut is the host's."""
        self._evidence = evidence
        self._fencing = fencing
        self._last_look = last_look or _nobody_to_ask
        self._onlookers = onlookers

    def cut(self, request: m.FenceRequest) -> None:
        """Off and recorded. Raises FenceFailedError, CutOverError, WrongMachineError, SourceReturnedError,
        FenceDeclinedError."""
        activity.heartbeat("reading power")
        was_off = self._fencing.is_off(request.host)
        activity.heartbeat("power read")
        self._cut(request, "found off, and told to power off" if was_off else "power cut", was_on=not was_off)

    def _cut(self, request: m.FenceRequest, how: str, *, was_on: bool) -> None:
        """Announced in the store for as long as anybody waits for this execution; no lock is held over the cut itself.
        What fails is over too: the host is what it was."""
        boot, until = self._fencing.boot_of(request.host), datetime.now(UTC) + _longest()
        if self._evidence.begin_cut(request, _me(), until) is not None:
            return
        try:
            if self._onlookers is not None:
                self._onlookers.look(request, _me())
            self._fencing.power_off(
                request.host,
                boot,
                last_look=lambda: self._look_again(request, until),
                beat=lambda: activity.heartbeat("cutting power"),
            )
            proofs = self._proofs_of_off(request, f"{how}, read back: off", self._fencing.is_off, cut=was_on)
            if not proofs:
                raise FenceFailedError(f"host {request.host} still reads on after a power-off")
        except Exception:
            self._evidence.end_cut(request.host, _me(), (), until)
            raise
        self._evidence.end_cut(request.host, _me(), proofs, until)

    def _look_again(self, request: m.FenceRequest, until: datetime) -> None:
        """Whoever was frozen since the announcement may come long after its cut is over. Raises CutOverError."""
        try:
            self._last_look()
        except NobodyWaitsError as error:
            raise CutOverError(f"{request.host} is not cut: {error.message}") from error
        self._evidence.require_cut(request, _me(), until)

    def read_back(self, request: m.FenceRequest) -> None:
        """The execution before this one may have died over its cut: if it reads off, so is whatever boot was there. If
        not, it stays announced until it is made again, or is not needed."""
        try:
            proofs = self._proofs_that_stay(
                request, "its cut was begun by an execution that ended early; read again and again: off", cut=True
            )
        except WrongMachineError:
            self.drop(request.host)
            raise
        except FenceFailedError:
            return
        if proofs:
            self._evidence.end_cut(request.host, _me(), proofs)

    def drop(self, host: str) -> None:
        """What an execution before this one announced is not needed."""
        self._evidence.end_cut(host, _me(), ())

    def record_off(self, request: m.FenceRequest) -> None:
        """No order is sent: it is off, or nothing is recorded."""
        for proof in self._proofs_that_stay(request, "power read again and again: off", cut=False):
            self._evidence.record_evidence(proof)

    def _proofs_that_stay(self, request: m.FenceRequest, said: str, *, cut: bool) -> tuple[Evidence, ...]:
        return self._proofs_of_off(request, said, self._stays_off, cut=cut)

    def _stays_off(self, host: str) -> bool:
        return self._fencing.stays_off(host, lambda: activity.heartbeat("reading power"))

    def _proofs_of_off(
        self, request: m.FenceRequest, said: str, is_off: Callable[[str], bool], *, cut: bool
    ) -> tuple[Evidence, ...]:
        """About every boot that was known before the power was read: none of them is there any more. None: it reads
        on. One that comes up afterwards is not said to be off. Raises WrongMachineError."""
        boots = dict.fromkeys((request.incarnation, self._evidence.registered_boot(request.host)))
        if not is_off(request.host):
            return ()
        if self._onlookers is not None:
            self._onlookers.judge(request)
        who = self._fencing.kind_of(request.host)
        proofs = (evidence_of(request.host, boot, EvidenceKind.POWER_OFF, who, said) for boot in boots)
        return tuple(each.model_copy(update={"cut": cut}) for each in proofs)


def _nobody_to_ask() -> None:
    """Without a client there is no server to ask."""


def _longest() -> timedelta:
    return activity.info().start_to_close_timeout or LONGEST_CUT


def _me() -> str:
    """The same for every execution of one activity: one that comes after another ends what that announced."""
    info = activity.info()
    return f"{info.workflow_run_id}/{info.activity_id}"


def evidence_of(host: str, incarnation: str | None, kind: EvidenceKind, who: str, reason: str) -> Evidence:
    """Of now."""
    return Evidence(kind=kind, host=host, incarnation=incarnation, who=who, reason=reason, at=datetime.now(UTC))
