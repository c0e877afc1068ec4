"""What people say in words of their own, and how much of it is kept."""

import pytest

from evacuation.errors import MalformedRequestError
from evacuation.statements import LONGEST, require_statement


def said(text: str) -> str:
    return require_statement(text, "the word", remedy="say how you know")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("unplugged", "unplugged"),
        ("  unplugged it,\n\tseen by Ann ", "unplugged it, seen by Ann"),
        ("débranché 🔌 \N{ZERO WIDTH JOINER}", "débranché 🔌 \N{ZERO WIDTH JOINER}"),
        ("x" * LONGEST, "x" * LONGEST),
    ],
)
def test_statement_is_kept_on_one_line(text: str, kept: str):
    assert said(text) == kept


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the word is empty: say how you know"),
        (" \n ", "the word is empty: say how you know"),
        ("x" * (LONGEST + 1), "the word has 501 characters: say it in 500 characters, which is the limit"),
        ("a\0b", "the word has characters that are no text: leave them out"),
        ("a\x1b[31m", "the word has characters that are no text: leave them out"),
        ("a\udcff", "the word has characters that are no text: leave them out"),
    ],
)
def test_statement_is_refused_that_cannot_be_kept(text: str, why: str):
    with pytest.raises(MalformedRequestError) as refused:
        said(text)
    assert refused.value.line == why
