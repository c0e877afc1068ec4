"""What somebody has typed: checked, and shown in errors."""

from typing import TYPE_CHECKING

from control.access import open_store
from evacuation.errors import MalformedRequestError
from evacuation.names import is_name

if TYPE_CHECKING:
    from evacuation.views import InstanceView

MOST_OF_A_WORD = 64


def require_name(text: str, what: str) -> str:
    """Raises MalformedRequestError."""
    if not is_name(text):
        raise MalformedRequestError(
            f"{quoted(text)} is not the name of {what}", remedy="letters, digits, dot, dash and underscore, at most 63"
        )
    return text


def quoted(text: str) -> str:
    """What somebody has typed, for an error: as much of it as it takes to know it again."""
    return repr(text if len(text) <= MOST_OF_A_WORD else f"{text[:MOST_OF_A_WORD]}…")


def find_instance(text: str) -> "InstanceView":
    """By name or id. Raises MalformedRequestError, InstanceNotFoundError."""
    require_name(text, "an instance")
    with open_store() as services:
        return services.views.instance(text)
