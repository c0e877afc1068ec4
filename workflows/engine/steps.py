"""How a step is executed: with its policy, a summary for the Web UI, an event for the record, a row on the display."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.errors import EvidenceVoidedError, InstanceDeletedError, StaleAttemptError, StoreOwnedError
from evacuation.ledger import Witness
from evacuation.messages import (
    Answered,
    Destination,
    GuestState,
    HostCall,
    ProbeAnswer,
    StepEvent,
    Tuning,
)
from evacuation.names import CONTROL_QUEUE, host_queue
from workflows.engine.backoff import Backoff
from workflows.engine.calls import call
from workflows.engine.display import Display
from workflows.engine.failures import Failure, failure_of, kinds
from workflows.engine.patience import Patience
from workflows.engine.policies import ALARM_AFTER, HOST, MUST_HOLD, Policy
from workflows.engine.probing import probe

T = TypeVar("T")
M = TypeVar("M")
MOST_UNSAVED = 400
"""A blocked evacuation repeats the same questions for days: its middle is dropped before it outgrows a message."""


class Steps:
    """Executes activities of one evacuation and keeps what became of them."""

    def __init__(self, display: Display, tuning: Tuning) -> None:
        self.display = display
        self.tuning = tuning
        self.attempt = 0
        self.renew_if_long: Callable[[], None] = lambda: None
        """Called where work without end begins again: may end this run, and go on in another."""
        self.begun: set[tuple[int, str]] = set()
        """Steps on a host, by attempt, that a worker may have taken up."""
        self.witnessed: dict[str, Witness] = {}
        """What each host has said last of the ledger."""
        self._unsaved: list[StepEvent] = []

    def enter_attempt(self, number: int) -> None:
        self.attempt = self.display.attempt = number

    def carry_on(self, events: tuple[StepEvent, ...]) -> None:
        """Events of the run before that the store does not have yet."""
        self._unsaved = [*events, *self._unsaved]

    @property
    def events(self) -> tuple[StepEvent, ...]:
        """Events that the store does not have yet, for the next store step; kept until one that carries them holds."""
        return tuple(self._unsaved)

    async def control(
        self,
        activity: Callable[[Any, M], T],
        message: M,
        *,
        policy: Policy,
        about: str,
        deadline: timedelta | None = None,
    ) -> T:
        """A step on the control queue."""
        return await self._run(activity, message, policy=policy, about=about, deadline=deadline)

    async def on_host(
        self,
        activity: Callable[[Any, M], T],
        message: M,
        *,
        to: Destination,
        about: str,
        policy: Policy = HOST,
        over: Callable[[], Failure | None] = lambda: None,
    ) -> T:
        """A step on a host's own queue, asked again while the host answers its probe: it is busy, or slow. Raises
        ActivityError, StepFailed."""
        patience = Patience(self, to, about, over=over)
        while True:
            try:
                result = await self.once_on_host(activity, message, to=to, about=about, policy=policy)
            except ActivityError as error:
                await patience.bear(error)
            else:
                patience.over()
                return result

    async def once_on_host(
        self, activity: Callable[[Any, M], T], message: M, *, to: Destination, about: str, policy: Policy
    ) -> T:
        """A step on a host's own queue, whatever becomes of it."""
        return await self._run(activity, message, policy=policy, about=about, host=to.host)

    async def probe(
        self, host: str, hypervisor_uuid: str | None, *, doubted: bool = False
    ) -> ProbeAnswer | Failure | None:
        """What the host's own worker says, be it an error, or None: nobody answers."""
        return await probe(host, hypervisor_uuid, self.tuning, doubted=doubted)

    async def hold(self, activity: Callable[[Any, M], T], message: M, *, about: str) -> T:
        """A control step that is repeated until it holds: a deadline raises an alarm, it does not end the work."""
        started, backoff, times = workflow.now(), Backoff(0.2, 15, self.tuning.scale), 0
        while True:
            self.renew_if_long()
            try:
                held = await self.control(activity, message, policy=MUST_HOLD, about=about)
            except ActivityError as error:
                failure = failure_of(error)
                if failure.type in FINAL or failure.cancelled:
                    raise
                times += 1
                self.display.retry(activity.__name__, times, since=started, error=failure.line)
                self.warn(started, about, failure)
            else:
                self.display.retrying = None
                return held
            await backoff.rest()

    def warn(self, since: datetime, about: str, failure: Failure) -> None:
        """Past the deadline: an alarm in the worker's log and on the display."""
        if (workflow.now() - since).total_seconds() > ALARM_AFTER * self.tuning.scale:
            workflow.logger.error("still not done: %s: %s", about, failure.line)
            self.display.enter(self.display.phase, cause=f"{about}: {failure.message}", remedy=failure.remedy)

    async def _run(
        self,
        activity: Callable[[Any, M], T],
        message: M,
        *,
        policy: Policy,
        about: str,
        host: str | None = None,
        deadline: timedelta | None = None,
    ) -> T:
        name = activity.__name__
        row = self.display.begin(name, host)
        try:
            result = await call(
                activity,
                message,
                queue=host_queue(host) if host else CONTROL_QUEUE,
                policy=policy,
                tuning=self.tuning,
                about=about,
                deadline=deadline,
            )
        except (ActivityError, asyncio.CancelledError) as error:
            self._note(row, name, host, failure_of(error))
            raise
        del self._unsaved[: len(getattr(message, "events", ()))]
        if host is not None and isinstance(result, Answered) and result.ledger is not None:
            self.witnessed[host] = Witness(who=host, mark=result.ledger)
        self._note(row, name, host, None, result.note if isinstance(result, GuestState) else "")
        return result

    def _note(self, row: int, name: str, host: str | None, failure: Failure | None, note: str = "") -> None:
        if host is not None and (failure is None or not failure.not_started):
            self.begun.add((self.attempt, name))
        step = self.display.end(row, "failed" if failure else "done", failure.line if failure else note)
        event = StepEvent(
            name=name,
            attempt=self.attempt,
            host=host,
            result="error" if failure else "success",
            started_at=step.started_at,
            finished_at=step.finished_at or workflow.now(),
            details=step.note,
        )
        if failure and self._unsaved and _is_repeated(self._unsaved[-1], event):
            self._unsaved[-1] = event.model_copy(update={"started_at": self._unsaved[-1].started_at})
            return
        if len(self._unsaved) >= MOST_UNSAVED:
            del self._unsaved[MOST_UNSAVED // 2]
        self._unsaved.append(event)


def _is_repeated(last: StepEvent, event: StepEvent) -> bool:
    """The same failure once more: one event, from the first to the last."""
    when = {"started_at", "finished_at"}
    return last.model_dump(exclude=when) == event.model_dump(exclude=when)


FINAL = kinds(StaleAttemptError, InstanceDeletedError, EvidenceVoidedError, StoreOwnedError)
"""Answers that no repetition changes."""


def call_to(destination: Destination) -> HostCall:
    return HostCall(
        host=destination.host,
        hypervisor_uuid=destination.hypervisor_uuid,
        incarnation=destination.incarnation,
        ledger=destination.ledger,
    )
