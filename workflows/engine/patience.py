"""A host that answers its probe and does not get on is waited for, in the same attempt: it is slow, not gone. One that
booted again meanwhile is gone: it waits itself, for what was begun on the boot before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation.errors import DestinationBusyError, GuestBusyError, HostSlowError
from evacuation.messages import Destination, Tuning
from workflows.engine.backoff import Backoff
from workflows.engine.display import Display
from workflows.engine.failures import Failure, StepFailed, failure_of, failure_of_refusal
from workflows.engine.probing import is_there

SETTING = "EVACUATE_HOST_PATIENCE"
ROUNDS_PER_PROBE = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0


def is_slow(failure: Failure) -> bool:
    """It was begun and has not ended, or waits for what was begun before, so far as the host answers at all."""
    return failure.means(GuestBusyError) or (failure.silent and not failure.not_started)


class Waiter(Protocol):
    """What waiting needs of the steps of an evacuation."""

    display: Display
    tuning: Tuning
    renew_if_long: Callable[[], None]


class Patience:
    """About one call on one host. `bear` returns when the call is worth another try."""

    def __init__(self, steps: Waiter, to: Destination, about: str, *, over: Callable[[], Failure | None]) -> None:
        """`over`: why there is nothing to wait for any more, if that is so."""
        self._steps = steps
        self._to = to
        self._about = about
        self._over = over
        self._rounds = 0
        self._slow_since: datetime | None = None
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, steps.tuning.scale)
        self._shown = False

    async def bear(self, error: ActivityError) -> None:
        """Raises the error where another try is for the attempt to decide: the host does not answer, or its answer
        was another error. StepFailed when the time for a slow one is over, or there is nothing to wait for."""
        failure = failure_of(error)
        if failure.not_started:
            await self._bear_busy(error)
        elif is_slow(failure):
            await self._bear_slow(error, failure)
        else:
            raise error
        self._end_if_over()
        self._steps.renew_if_long()

    async def bear_full(self, error: ActivityError) -> None:
        """As `bear`, for a destination whose cap is reached. It is looked at while it answers, without end."""
        failure = failure_of(error)
        if not failure.means(DestinationBusyError):
            raise error
        self._show(failure.message, failure.remedy)
        self._steps.renew_if_long()
        await self._backoff.rest()
        self._rounds += 1
        if self._rounds % ROUNDS_PER_PROBE == 0 and not await self._is_there():
            message = f"{self._to.host} does not answer while its turn is waited for"
            raise StepFailed(Failure(type="TimeoutError", message=message, silent=True, not_started=True))

    def over(self) -> None:
        """What was waited for has come."""
        if self._shown:
            self._steps.display.enter(self._steps.display.phase)

    async def _bear_busy(self, error: ActivityError) -> None:
        """Every slot of its worker is taken: that ends, or the worker ends itself."""
        if not await self._is_there():
            raise error
        host = self._to.host
        self._show(f"{host} answers, and is busy: {self._about} waits for its turn", f"wait, or see what {host} does")

    def _end_if_over(self) -> None:
        over = self._over()
        if over is not None:
            raise StepFailed(over)

    async def _bear_slow(self, error: ActivityError, failure: Failure) -> None:
        self._end_if_over()
        if failure.silent and not await self._is_there():
            raise error
        tuning, now = self._steps.tuning, workflow.now()
        self._slow_since = self._slow_since or now
        if now - self._slow_since >= tuning.patience * tuning.scale:
            raise StepFailed(self._too_slow())
        self._show(
            f"{self._to.host} answers, and has not done it yet: {self._about}",
            f"it is asked again for {tuning.patience} ({SETTING})",
        )
        await self._backoff.rest()

    def _too_slow(self) -> Failure:
        """What became of it is unknown."""
        error = HostSlowError(
            f"{self._to.host} answers, and has not done it in {self._steps.tuning.patience}: {self._about}",
            remedy=f"see what {self._to.host} does; {SETTING} is how long it may take",
        )
        return replace(failure_of_refusal(error), silent=True)

    async def _is_there(self) -> bool:
        to = self._to
        return await is_there(to.host, to.hypervisor_uuid, self._steps.tuning, boot=to.incarnation)

    def _show(self, cause: str, remedy: str) -> None:
        self._shown = True
        self._steps.display.enter(self._steps.display.phase, cause=cause, remedy=remedy)
