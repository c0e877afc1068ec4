"""Durations as people write them: 30s, 30m, 2h, 1h30m."""

import re
from datetime import timedelta

from cli.inputs import MOST_OF_A_WORD, quoted
from evacuation.errors import MalformedRequestError

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
LONGEST = timedelta(days=365)


def read_duration(text: str) -> timedelta:
    """Raises MalformedRequestError."""
    if len(text) > MOST_OF_A_WORD or not re.fullmatch(rf"(?:{PART.pattern})+", text):
        raise MalformedRequestError(f"{quoted(text)} is not a duration", remedy="write for example 30s, 30m or 2h")
    seconds = sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))
    if not 0 < seconds <= LONGEST.total_seconds():
        raise MalformedRequestError(
            f"{quoted(text)} is not a usable duration", remedy="more than nothing, at most 365d"
        )
    return timedelta(seconds=seconds)
