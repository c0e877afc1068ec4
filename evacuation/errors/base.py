"""What every error is: a stable type name, a line for a person, and whether the same call may succeed later."""

from typing import ClassVar

from pydantic import Field

from evacuation.model import Frozen, Rejection


class ErrorDetail(Frozen):
    """What travels with a failure: one line for a person, what to do, and the hosts that were rejected."""

    message: str
    remedy: str = ""
    hosts: tuple[Rejection, ...] = Field(default=())


class EvacuateError(Exception):
    """Base of every error that this project raises on purpose."""

    retryable: ClassVar[bool] = False
    benign: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str = "", hosts: tuple[Rejection, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.hosts = hosts

    @property
    def detail(self) -> ErrorDetail:
        return ErrorDetail(message=self.message, remedy=self.remedy, hosts=self.hosts)

    @property
    def line(self) -> str:
        """Cause and remedy in one line, neither said twice."""
        return self.message if self.remedy in self.message else f"{self.message}: {self.remedy}"
