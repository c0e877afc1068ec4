"""What travels with a failure."""

from pydantic import Field

from evacuation.model import Frozen, Rejection


class ErrorDetail(Frozen):
    """One line for a person, what to do, and the hosts that were rejected. No message: the failure's own is the line.
    `incarnation`: which boot of its host it was whose own worker said it, where that worker knew."""

    message: str = ""
    remedy: str = ""
    hosts: tuple[Rejection, ...] = Field(default=())
    incarnation: str | None = None
