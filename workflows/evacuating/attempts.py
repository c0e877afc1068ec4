"""Which destinations were tried, with what result, and how it ends when none is left."""

from collections import Counter

from evacuation.errors import (
    CapacityNotYetError,
    DiskLockedError,
    FenceFailedError,
    InstanceMisplacedError,
    NoValidHostError,
    ObjectGoneError,
    ResidenceNotProvenError,
    SignalPatternError,
    SourceAnswersError,
    SourceNotFencedError,
    SourceReturnedError,
    StoreBehindError,
    StoreOwnedError,
    VolumeImageGoneError,
)
from evacuation.messages import AttemptResult, CarriedOn, Destination, Tuning
from evacuation.transitions import EndingCause
from workflows.engine.failures import Failure, kinds

NO_HOST = kinds(NoValidHostError, CapacityNotYetError)

FINAL_CAUSES = {
    name: cause
    for error, cause in {
        FenceFailedError: EndingCause.FENCE_FAILED,
        SourceNotFencedError: EndingCause.FENCE_FAILED,
        SourceAnswersError: EndingCause.SOURCE_RETURNED,
        SourceReturnedError: EndingCause.SOURCE_RETURNED,
        ResidenceNotProvenError: EndingCause.SOURCE_RETURNED,
        InstanceMisplacedError: EndingCause.MISPLACED,
        ObjectGoneError: EndingCause.LATER_STEP_FAILED,
        VolumeImageGoneError: EndingCause.LATER_STEP_FAILED,
        DiskLockedError: EndingCause.LATER_STEP_FAILED,
        SignalPatternError: EndingCause.LATER_STEP_FAILED,
        StoreBehindError: EndingCause.LATER_STEP_FAILED,
        StoreOwnedError: EndingCause.LATER_STEP_FAILED,
    }.items()
    for name in kinds(error)
}
"""Failures that no other destination mends."""


class Attempts:
    """Attempts are numbered across an adoption. A refusal excludes its host; after a retryable failure the same
    host may be chosen again, `attempts_per_host` times in all."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._last = self._limit = 0
        self._tries: Counter[str] = Counter()
        self.excluded: dict[str, str] = {}
        self.results: list[AttemptResult] = []
        self.past_preparation = False
        self.start_after(0)

    def start_after(self, number: int) -> None:
        self._last, self._limit = number, number + self._tuning.max_attempts - len(self.results)

    def carry_on(self, carried: CarriedOn) -> None:
        """As if the attempts of the run before had been this run's."""
        for each in carried.attempts:
            self._keep(each)
        self.past_preparation = carried.past_preparation

    def next(self) -> int:
        self._last += 1
        return self._last

    @property
    def used_up(self) -> bool:
        return self._last >= self._limit

    def note(self, to: Destination | None, failure: Failure) -> None:
        """Keep what became of the attempt, and whether its host may be chosen again."""
        if to is None:
            return
        kind = "cancelled" if failure.cancelled else "unknown" if failure.silent else "failed"
        if not failure.retryable and not failure.cancelled:
            kind = "refused"
        self._keep(AttemptResult(host=to.host, result=kind, reason=failure.line))
        if failure.not_started:
            self.excluded[to.host] = failure.line

    def _keep(self, result: AttemptResult) -> None:
        self.results.append(result)
        self._tries[result.host] += 1
        if result.result == "refused" or self._tries[result.host] >= self._tuning.attempts_per_host:
            self.excluded[result.host] = result.reason

    @property
    def cause_when_none_is_left(self) -> EndingCause:
        """The latest stage that any attempt reached decides."""
        if self.past_preparation:
            return EndingCause.LATER_STEP_FAILED
        return EndingCause.ALL_REFUSED_IN_PREPARATION if self.results else EndingCause.NO_HOST

    def explain(self, failure: Failure) -> str:
        """One line that names every host that was tried and why it did not do, then why none is left."""
        tried = "; ".join(f"{r.host}: {r.reason}" for r in self.results)
        if failure.type in NO_HOST and tried:
            return f"{tried}; then {failure.line}"
        return tried or failure.line
