"""Waits that grow: the pause between two looks at what nobody announces."""

from temporalio import workflow


class Backoff:
    """Each pause is twice as long as the one before, up to the longest. In seconds, times the scale."""

    def __init__(self, first: float, longest: float, scale: float = 1.0) -> None:
        self._next = first
        self._longest = longest
        self._scale = scale

    @property
    def pause(self) -> float:
        """The next one, unscaled; it is not taken by that."""
        return self._next

    def take(self) -> float:
        """The next one, unscaled, for who waits otherwise than by sleeping."""
        taken, self._next = self._next, min(self._next * 2, self._longest)
        return taken

    async def rest(self) -> None:
        await workflow.sleep(self.take() * self._scale)
