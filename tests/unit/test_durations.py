"""Durations as people write them."""

from datetime import timedelta

import pytest

from cli.durations import read_duration
from evacuation.errors import MalformedRequestError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), ("365d", 31536000)],
)
def test_read_duration_knows_every_unit_and_their_sums(text: str, seconds: float):
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-5s", "30 s", "1h 30m", "5w", "0s", "0h0m", "366d", "1e3s", "nan", "inf", ".5s", "30s\n"]
)
def test_read_duration_refuses_anything_else_with_a_remedy_in_one_line(text: str):
    with pytest.raises(MalformedRequestError) as caught:
        read_duration(text)
    assert caught.value.remedy
    assert "\n" not in caught.value.line


def test_read_duration_refuses_digits_without_end():
    with pytest.raises(MalformedRequestError):
        read_duration("9" * 400 + "d")
