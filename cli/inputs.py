"""What somebody has typed: checked, and shown in errors."""

from evacuation.errors import MalformedRequestError
from evacuation.names import is_name

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
