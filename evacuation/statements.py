"""What people say in words of their own: kept for good, shown in lists, and sent with workflows."""

import unicodedata

from evacuation.errors import MalformedRequestError

LONGEST = 500
"""Characters."""
_UNFIT = frozenset({"Cc", "Cs"})
"""Control characters, and what was no text in the first place."""


def require_statement(text: str, what: str, *, remedy: str) -> str:
    """On one line. Raises MalformedRequestError: it says nothing, too much, or nothing that can be kept."""
    line = " ".join(text.split())
    if not line:
        raise MalformedRequestError(f"{what} is empty", remedy=remedy)
    if len(line) > LONGEST:
        raise MalformedRequestError(
            f"{what} has {len(line)} characters", remedy=f"say it in {LONGEST} characters, which is the limit"
        )
    if any(unicodedata.category(each) in _UNFIT for each in line):
        raise MalformedRequestError(f"{what} has characters that are no text", remedy="leave them out")
    return line
