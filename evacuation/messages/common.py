"""What messages of every kind are made of."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from evacuation.ledger import LedgerMark
from evacuation.model import Frozen, PowerState


class AttemptPhase(StrEnum):
    """How far the store lets an attempt act. Forward calls need `forward` (or `authorized`, for what follows
    the authorisation); the first compensation moves it to `undoing`, and from then on every forward call is stale.
    `started`: its guest's start is known, so that only the instance's deletion undoes it."""

    FORWARD = "forward"
    AUTHORIZED = "authorized"
    STARTED = "started"
    UNDOING = "undoing"
    UNDONE = "undone"
    CLOSED = "closed"


class AttemptRef(Frozen):
    """The idempotency key of one attempt. `owner` is the run id of the workflow that acts: after an adoption
    every call of the run before is stale. `attempt` counts from 1; 0 stands before the first."""

    evacuation_id: str
    owner: str
    instance_id: str
    attempt: int = 0


class StepEvent(Frozen):
    """One executed step, for the instance action's events. The workflow is their only author; they are handed to
    the store with the next store step. (evacuation id, attempt, name, started_at) is unique."""

    name: str
    attempt: int
    host: str | None
    result: Literal["success", "error"]
    started_at: datetime
    finished_at: datetime
    details: str = ""


class Tuning(Frozen):
    """Limits and times that travel with the request. `scale` multiplies every timeout and interval."""

    scale: float = 1.0
    max_attempts: int = 5
    attempts_per_host: int = 2
    hold: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(minutes=10)
    """With a host that answers its probe, and has not done in time what it was asked for."""
    await_evidence: bool = False
    """A source that cannot be proven off is waited for, in the open, instead of ending the evacuation."""


class Answered(Frozen):
    """What a host's worker says with every answer: the ledger as it has seen it last."""

    ledger: LedgerMark | None = None


class HostCall(Frozen):
    """What every message to a host carries: who must answer (a mismatch is refused, non-retryable), and the ledger's
    mark, which the host remembers."""

    host: str
    hypervisor_uuid: str | None
    incarnation: str | None
    ledger: LedgerMark | None = None


class GuestCall(Frozen):
    """About one guest on one host: settle, destroy, pause, disconnect."""

    call: HostCall
    instance_id: str
    epoch: int
    power_state: PowerState = PowerState.RUNNING
    """The wanted one; settling goes forward only on that."""


class HostRef(Frozen):
    """A host in one boot. `incarnation` None: a host that has never registered."""

    host: str
    incarnation: str | None


class InstanceRef(Frozen):
    """An instance by its id, where nothing else must be said."""

    instance_id: str


class Done(Frozen):
    """An activity that has nothing else to say."""


class HostDone(Answered, Done):
    """A host's activity that has nothing else to say."""
