"""What the commands say."""

import pytest

from cli.output import say


def test_line_is_said_as_it_is_when_it_holds_brackets_and_colons(capsys: pytest.CaptureFixture[str]) -> None:
    line = "web-01: ✗ spawn_guest: no [/dev/sda] for [bold]: :x: [Errno 5]"
    say(line)
    assert capsys.readouterr().err == line + "\n"
