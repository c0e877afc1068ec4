"""Durations as people write them."""

from datetime import timedelta

import pytest

from cli.durations import read_duration
from evacuation.errors import MalformedRequestError


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5s", 0.5), ("500ms", 0.5)]
)
def test_duration_is_read_when_it_has_units(text: str, seconds: float) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 h", "0s", "1y", "999999999d", "1s!", "soon"])
def test_duration_is_refused_when_it_is_not_one(text: str) -> None:
    with pytest.raises(MalformedRequestError):
        read_duration(text)
