"""What one evacuation knows: one state, shared by the story, its steps and their undoing."""

from dataclasses import dataclass, field
from datetime import datetime

from evacuation.messages import (
    AttemptRef,
    Begun,
    CheckedRequest,
    Destination,
    EvacuationRequest,
    StoredDefinition,
    Tuning,
)
from evacuation.model import Evidence, PowerState, VmState


@dataclass
class State:
    request: EvacuationRequest
    tuning: Tuning
    ref: AttemptRef
    started_at: datetime
    name: str
    """The instance's name, once it is known."""
    checked: CheckedRequest | None = None
    begun: Begun | None = None
    evidence: Evidence | None = None
    to: Destination | None = None
    stored: StoredDefinition = field(default_factory=StoredDefinition)
    asked_to_begin: bool = False
    prepared: bool = False
    asked_to_authorize: bool = False
    destination_fenced: bool = False
    deleted: bool = False

    @property
    def facts(self) -> CheckedRequest:
        """The checked request; only after the check."""
        if self.checked is None:
            raise RuntimeError("the request is not checked yet")
        return self.checked

    @property
    def evacuation(self) -> Begun:
        """The open evacuation; only after it has begun."""
        if self.begun is None:
            raise RuntimeError("the evacuation has not begun yet")
        return self.begun

    @property
    def came_between(self) -> bool:
        """Whether what is taken over was opened only after the first check: it is settled as what that would have
        found."""
        return self.facts.adopts is not None

    @property
    def wanted(self) -> VmState:
        """As the evacuation recorded it when it began, whatever a request that adopts it names: the guest that an
        earlier run has started is in that state."""
        return self.begun.wanted if self.begun else self.facts.instance.wanted

    @property
    def power_state(self) -> PowerState:
        """running; or shutdown for an instance that is to be stopped at the end: it is never booted on the way."""
        return PowerState.SHUTDOWN if self.wanted == VmState.STOPPED else PowerState.RUNNING

    def enter_attempt(self, number: int) -> None:
        self.ref = self.ref.model_copy(update={"attempt": number})
        self.to = None
        self.prepared = self.asked_to_authorize = self.destination_fenced = False
