"""What every error is: a stable type name, a line for a person, and whether the same call may succeed later."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from evacuation.errors.detail import ErrorDetail
    from evacuation.model import Rejection


class EvacuateError(Exception):
    """Base of every error that this project raises on purpose."""

    retryable: ClassVar[bool] = False
    benign: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str = "", hosts: "tuple[Rejection, ...]" = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.hosts = hosts
        self.incarnation: str | None = None
        """Of the host whose own worker raises it; set by whoever knows."""

    @property
    def detail(self) -> "ErrorDetail":
        from evacuation.errors.detail import ErrorDetail

        return ErrorDetail(message=self.message, remedy=self.remedy, hosts=self.hosts, incarnation=self.incarnation)

    @property
    def line(self) -> str:
        """Cause and remedy in one line, neither said twice."""
        return self.message if self.remedy in self.message else f"{self.message}: {self.remedy}"
