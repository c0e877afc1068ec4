"""A person at a terminal is asked before what cannot be undone; a program is not."""

import os
import pty
import subprocess

import pytest

from embedded.state import StateDir
from tests.cli.conftest import Command
from tests.support.stack import EVACUATE

QUESTION = "Delete web-01"


def at_a_terminal(*words: str, says: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, says.encode())
        done = subprocess.run([EVACUATE, *words], stdin=theirs, capture_output=True, text=True, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stderr


@pytest.mark.parametrize("says", ["n\n", "\n"], ids=["no", "nothing"])
def test_deletion_asks_and_does_nothing_without_a_yes(store: StateDir, says: str) -> None:
    code, told = at_a_terminal("instance", "delete", "web-01", says=says)
    assert QUESTION in told and "Temporal" not in told, told
    assert code not in (0, 2, 3)


@pytest.mark.parametrize(("words", "says"), [((), "y\n"), (("--yes",), "")], ids=["yes", "--yes"])
def test_deletion_goes_on_after_a_yes(store: StateDir, words: tuple[str, ...], says: str) -> None:
    """As far as it can: Temporal is not there."""
    code, told = at_a_terminal("instance", "delete", "web-01", *words, says=says)
    assert (code, "Temporal does not answer" in told) == (3, True), told
    assert (QUESTION in told) is not bool(words)


def test_program_is_not_asked(store: StateDir, evacuate: Command) -> None:
    answer = evacuate("instance", "delete", "web-01")
    assert (answer.code, QUESTION in answer.err) == (3, False), answer
