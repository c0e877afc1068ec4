"""One workflow run, told one call at a time: the order of the story, and nothing of Temporal."""

from evacuation import messages as m
from evacuation.errors import (
    EvacuateError,
    EvidenceVoidedError,
    InstanceDeletedError,
    NoValidHostError,
    OwnerChangedError,
    StaleAttemptError,
)
from evacuation.transitions import EndingCause
from tests.machines.calls import Calls
from tests.machines.cloud import Cloud, Died, Silent

ATTEMPT = (
    "claim_capacity",
    "prepare_destination",
    "record_preparation",
    "set_up_network",
    "fetch_block_devices",
    "detach_volumes",
    "set_up_block_devices",
    "connect_volumes",
    "authorize_spawn",
    "spawn_guest",
    "finish_evacuation",
)
UNDONE_BY = {
    "claim_capacity": "release_capacity",
    "set_up_network": "tear_down_network",
    "detach_volumes": "tear_down_block_devices",
    "connect_volumes": "disconnect_volumes",
}
EVERYTHING = ("release_capacity", "tear_down_network", "tear_down_block_devices", "disconnect_volumes")
ON_A_HOST = frozenset({"prepare_destination", "connect_volumes", "spawn_guest"})
FINAL = frozenset({"SourceReturnedError", "ResidenceNotProvenError", "FenceFailedError", "SourceNotFencedError"})
MOST_ATTEMPTS = 3


class Run(Calls):
    """`todo` is what comes next. A run never leaves anything undone of its own accord: it ends, or is terminated."""

    def __init__(self, cloud: Cloud, instance_id: str, number: int) -> None:
        self.cloud = cloud
        self.number = number
        self.ref = m.AttemptRef(evacuation_id=f"ev-{number}", owner=f"run-{number}", instance_id=instance_id)
        self.cancelled = False
        self.stuck: str | None = None
        self.undo: list[str] = []
        self.excluded = {}
        self.failure: EvacuateError | None = None
        self._check()

    def _check(self) -> None:
        request = m.EvacuationRequest(request_id=f"request-{self.number}", instance_id=self.ref.instance_id)
        self.facts = self.cloud.tell("check_request", request)
        self.deleted = self.deleted or self.facts.deleted
        first = ["begin_evacuation"] if self.facts.adopts else ["fence_source", "begin_evacuation"]
        self.todo = [*first, *ATTEMPT]

    def step(self, *, fuse: int | None = None) -> None:
        """One call. A control call whose process died is made again, by the next step."""
        name = self.todo[0]
        if self._is_called_off(name):
            return self._go_back(None)
        if name in UNDONE_BY and UNDONE_BY[name] not in self.undo:
            self.undo.append(UNDONE_BY[name])
        try:
            getattr(self, name)(fuse)
        except Died:
            if name in ON_A_HOST:
                self._go_back(None)
        except Silent:
            if name in ON_A_HOST:
                self._exclude("silent")
                self._go_back(None)
            elif name == "disconnect_volumes":
                self._done()
        except EvacuateError as error:
            self._fail(name, error)
        return None

    def _is_called_off(self, name: str) -> bool:
        return (self.cancelled or self.deleted) and name in ATTEMPT and name != "finish_evacuation"

    def _fail(self, name: str, error: EvacuateError) -> None:
        if isinstance(error, StaleAttemptError):
            # It acts no more: right for one whose evacuation another run has taken over.
            self.over, self.stuck = True, f"{name}: {error.message}"
        elif isinstance(error, EvidenceVoidedError):
            self.todo[0] = "settle"
        elif name == "begin_evacuation":
            self._could_not_begin(error)
        elif name == "fence_source" and not error.retryable:
            self._end(EndingCause.FENCE_FAILED, error)
        elif name in ATTEMPT and not error.retryable:
            self.deleted = self.deleted or isinstance(error, InstanceDeletedError)
            self._exclude(error.message)
            self._go_back(error)

    def _could_not_begin(self, error: EvacuateError) -> None:
        if not isinstance(error, OwnerChangedError):
            return self._end(EndingCause.LOST_COMPARE_AND_SWAP, error)
        try:
            return self._check()
        except EvacuateError as refusal:
            return self._end(EndingCause.REFUSED, refusal)

    def _exclude(self, why: str) -> None:
        if self.to is not None:
            self.excluded[self.to.host] = why

    def _go_back(self, error: EvacuateError | None) -> None:
        self.failure = error
        # The compensations of an attempt that was refused in preparation clear what an older one left.
        more = () if self.prepared or not self.undo else ("tear_down_network", "tear_down_block_devices")
        self.undo += [name for name in more if name not in self.undo]
        settling = ["call_off_attempt"] if self.asked_to_authorize and self.to is not None else []
        self.todo = [*settling, *reversed(self.undo), "decide"]

    def decide(self, _: int | None) -> None:
        self.undo = []
        if self.deleted:
            return self._end(EndingCause.DELETED, self.failure)
        if self.cancelled:
            return self._end(EndingCause.CANCELLED, self.failure)
        if type(self.failure).__name__ in FINAL:
            return self._end(EndingCause.SOURCE_RETURNED, self.failure)
        if isinstance(self.failure, NoValidHostError) or self.ref.attempt >= self.first + MOST_ATTEMPTS:
            return self._end(EndingCause.LATER_STEP_FAILED if self.prepared else EndingCause.NO_HOST, self.failure)
        self.todo = ["fence_source", *ATTEMPT] if self.evidence is None else list(ATTEMPT)
        return None

    def _end(self, cause: EndingCause, error: EvacuateError | None) -> None:
        self.cause, self.failure = cause, error
        self.todo = ["abandon_evacuation"]
        self.over = not self.asked_to_begin

    def take_over(self) -> None:
        """What was left is settled and undone before anything else."""
        self.to = self.begun.destination
        if self.begun.phase is m.AttemptPhase.UNDONE:
            self.todo = ["decide"]
            return
        started = self.begun.phase is m.AttemptPhase.STARTED
        self.asked_to_authorize = started or self.begun.phase is m.AttemptPhase.AUTHORIZED
        self.undo = list(EVERYTHING)
        if started and not self.facts.deleted:
            self.todo, self.started = ["finish_evacuation"], True
            return
        self.prepared = True
        self._go_back(None)
        self.prepared = False
