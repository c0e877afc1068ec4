"""Patterns of strangers: they are matched, and take nobody's time but their own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evacuation.errors import HypervisorUnableError, NotAdoptableError, SignalPatternError
from services.definitions.libvirt.names import NAMESPACE
from services.hypervisors.libvirt import patterns
from services.hypervisors.libvirt.matcher import LONGEST_LINE, TAIL
from services.hypervisors.libvirt.options import options_of
from services.hypervisors.libvirt.patterns import LONGEST_PATTERN, Matcher, require_sound
from services.hypervisors.libvirt.report import guests_of
from services.hypervisors.libvirt.survey import SurveyedDomain
from services.runtime.settings import Settings
from tests.unit.libvirt.test_large_definitions import adopted, domain, survey
from tests.unit.libvirt.world import STORED

EVIL = r"([\w\s=-]+)+Z$"
TEMPTING = "a = b - c d e f g h i j k l m n o p q r s t\n"
SLOW = (EVIL, r"(x+x+)+y", r"(ab|ab)+c", r"(?:[A-Za-z]+ ?)+\d", r"(\d+)*\.$", r"(a{1,60000}){1,60000}b")
UNREADABLE = ("(", "[a", "a{99999999999999}", "(" * 200, "(?P<x>a)(?P<x>b)")


@pytest.fixture(autouse=True)
def on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern has a second of the processor: how long that takes is not what is tested."""
    monkeypatch.setattr(patterns, "WAIT", 60.0)


@pytest.fixture
def matcher() -> Iterator[Matcher]:
    found = Matcher()
    yield found
    found.close()


def console(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "console.log"
    path.write_bytes(text.encode())
    return path


class Beating:
    """A thread that needs the interpreter now and then, and how often it had it."""

    def __init__(self) -> None:
        self.beats = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Beating":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(0.02):
            self.beats += 1


def test_pattern_that_takes_too_long_is_an_error_and_holds_up_nobody(matcher: Matcher, tmp_path: Path) -> None:
    path = console(tmp_path, TEMPTING * 3)
    with Beating() as beating, pytest.raises(SignalPatternError) as caught:
        matcher.console_says(path, EVIL)
    # A match in this process would have had the interpreter for a second and more, and let in one or two.
    assert beating.beats >= 5
    assert EVIL in caught.value.message or repr(EVIL) in caught.value.message
    assert "longer than 1 s" in caught.value.message
    assert "without one repetition in another" in caught.value.remedy
    assert "\n" not in caught.value.line


def test_a_match_is_found_as_before_when_another_was_killed(matcher: Matcher, tmp_path: Path) -> None:
    path = console(tmp_path, f"{TEMPTING}\r\nDebian 12 web tty1\r\n\r\nweb login: ")
    with pytest.raises(SignalPatternError):
        matcher.console_says(path, EVIL)
    assert matcher.console_says(path, r"^\w+ login: ?$")
    assert matcher.console_says(path, "login:")
    assert not matcher.console_says(path, r"^login")
    assert not matcher.console_says(path, "Password:")


def test_console_that_is_not_there_says_nothing(matcher: Matcher, tmp_path: Path) -> None:
    assert not matcher.console_says(tmp_path / "none.log", "login:")
    assert not matcher.console_says(tmp_path / "none.log", r"login: $")


@pytest.mark.parametrize("pattern", ["login:", r"login: *$"])
def test_only_the_newest_part_and_the_beginning_of_a_line_are_looked_at(
    matcher: Matcher, tmp_path: Path, pattern: str
) -> None:
    early = console(tmp_path, "login:\n" + ("x" * 99 + "\n") * (TAIL // 100 + 1))
    assert not matcher.console_says(early, pattern)
    assert not matcher.console_says(console(tmp_path, "x" * LONGEST_LINE + "login:\n"), pattern)
    assert matcher.console_says(console(tmp_path, "x" * (LONGEST_LINE - 6) + "login:\n"), pattern)


def test_plain_text_needs_no_process(matcher: Matcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "AskedProcess", None)
    assert matcher.console_says(console(tmp_path, "web login: "), "login:")
    require_sound("login:")


@pytest.mark.parametrize("pattern", SLOW)
def test_pattern_that_could_take_too_long_is_refused(pattern: str) -> None:
    with pytest.raises(SignalPatternError, match="takes longer than 1 s"):
        require_sound(pattern)


@pytest.mark.parametrize("pattern", UNREADABLE)
def test_pattern_that_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(SignalPatternError, match="cannot be read"):
        require_sound(pattern)


def test_pattern_that_is_too_long_is_refused() -> None:
    require_sound("x" * LONGEST_PATTERN)
    with pytest.raises(SignalPatternError, match="257 characters, more than 256"):
        require_sound("x" * (LONGEST_PATTERN + 1))


@pytest.mark.parametrize(
    "pattern",
    ["login:", r"login: *$", r"^\S+ login: ?$", r".*login:.*", r"Reached target .*Multi-User|login:", r"UP \d+"],
)
def test_pattern_as_people_write_them_is_taken(pattern: str) -> None:
    require_sound(pattern)


def test_machine_that_is_too_busy_says_nothing_about_a_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is judged when the guest is looked at."""
    monkeypatch.setattr(patterns, "WAIT", 0.0)
    guest = with_signal(7, r"login: never seen \w+$")
    assert adopted(guest)[0].stored.signal == "serial"


def with_signal(number: int, line: str) -> SurveyedDomain:
    mark = f"<e:instance xmlns:e='{NAMESPACE}'><e:signal kind='serial' line='{line}'/></e:instance>"
    return domain(number, text=STORED.replace("<metadata>", f"<metadata>{mark}"))


@pytest.mark.parametrize("line", [EVIL, "(", "x" * (LONGEST_PATTERN + 1)])
def test_adoption_refuses_a_guest_with_such_a_pattern_by_name_and_says_what_to_do(line: str) -> None:
    with pytest.raises(NotAdoptableError) as caught:
        adopted(domain(1), with_signal(2, line))
    assert "domain vm-02 cannot be adopted: the definition's signal is of no use" in caught.value.line
    assert "--skip" in caught.value.remedy and "\n" not in caught.value.line


def test_report_names_a_guest_with_such_a_pattern_and_keeps_no_other_back() -> None:
    told, left = guests_of(survey(domain(1), with_signal(2, EVIL), domain(3)))
    assert len(told) == 2
    assert [each.name for each in left] == ["vm-02"]
    assert "takes longer than 1 s" in left[0].why


def test_pattern_is_judged_once_however_often_it_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    told = guests_of(survey(with_signal(2, EVIL)))
    monkeypatch.setattr(Matcher, "ask", None)
    for _ in range(20):
        assert guests_of(survey(with_signal(2, EVIL))) == told


def test_hosts_own_setting_is_judged_too() -> None:
    with pytest.raises(HypervisorUnableError, match="EVACUATE_LIBVIRT_SIGNAL_LINE cannot be used: the pattern"):
        options_of(Settings(libvirt_signal_line=EVIL), "cmp-1")
    assert options_of(Settings(libvirt_signal_line=r"login: *$"), "cmp-1").signal_line == r"login: *$"
