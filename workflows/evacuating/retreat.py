"""What becomes of an attempt that did not get through, and whether another one follows."""

from evacuation.errors import InstanceDeletedError, StaleAttemptError
from workflows.engine.compensation import Shield
from workflows.engine.failures import Failure, as_error
from workflows.engine.steps import Steps
from workflows.evacuating.attempts import FINAL_CAUSES, NO_HOST, Attempts
from workflows.evacuating.backward import AFTER_REFUSED_CAPACITY, Backward
from workflows.evacuating.endings import Ended, cancelled, deleted
from workflows.evacuating.state import State


class Retreat:
    def __init__(self, state: State, steps: Steps, back: Backward, attempts: Attempts, shield: Shield) -> None:
        self._state = state
        self._steps = steps
        self._back = back
        self._attempts = attempts
        self._shield = shield

    def begin_next(self) -> None:
        """The next attempt, unless the evacuation was called off. Raises Ended."""
        # A cancel that came in the last moment of an unwinding was noted and not looked at.
        self.end_if_called_off()
        self.enter(self._attempts.next())

    def enter(self, number: int) -> None:
        self._state.enter_attempt(number)
        self._steps.enter_attempt(number)

    async def go_back(self, failure: Failure) -> bool:
        """An attempt did not get through. True: its guest runs all the same. False: undone, try another host. Raises
        Ended."""
        if failure.means(StaleAttemptError):
            raise as_error(failure)
        self._state.deleted = self._state.deleted or failure.means(InstanceDeletedError)
        if await self._back.settle_guest():
            return True
        if not self._state.prepared:
            self._back.can_undo(*AFTER_REFUSED_CAPACITY)
        await self._back.unwind()
        self._attempts.note(self._state.to, failure)
        self._end_if_over(failure)
        return False

    def _end_if_over(self, failure: Failure) -> None:
        self.end_if_called_off(failure)
        if failure.type in FINAL_CAUSES:
            raise Ended(FINAL_CAUSES[failure.type], failure)
        if failure.type in NO_HOST or self._attempts.used_up:
            raise Ended(self._attempts.cause_when_none_is_left, failure)

    def end_if_called_off(self, failure: Failure | None = None) -> None:
        """Raises Ended."""
        if self._state.deleted:
            raise deleted(self._state.name)
        if self._shield.cancel_came or (failure is not None and failure.cancelled):
            raise cancelled()
