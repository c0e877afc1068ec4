"""Patterns that owners of guests write, matched where they can hold up nobody: in a process of their own."""

import re
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from evacuation.errors import EvacuateError, HypervisorUnavailableError, SignalPatternError
from services.hypervisors.libvirt import matcher
from services.hypervisors.libvirt.asked import AskedProcess, EndedError, LateError
from services.hypervisors.libvirt.matcher import LONGEST_LINE, MOST_TIME, OUT_OF_TIME, lines_of

PROGRAM = Path(matcher.__file__).resolve()
LONGEST_PATTERN = 256
SPECIAL = frozenset(r".^$*+?{}[]\|()")
"""Without any of these a pattern is a text, which anybody may look for."""
WAIT = 8.0
"""Seconds for an answer, which takes `MOST_TIME` of a processor at most."""
KEPT = 2
"""Processes that are kept for the next looks; each has some 8 MiB."""
PATTERN_REMEDY = "write it without one repetition in another; a plain text does, as a rule"
REMEDY = (
    f"{PATTERN_REMEDY}; it is the `line` of <evacuate:signal> in the definition, or EVACUATE_LIBVIRT_SIGNAL_LINE where"
    " that has none"
)
TEMPERS: tuple[str, ...] = ("a", "Z", "0", " ", "=", "-", "_", "a ", "a0", "\t", "ä", "login: ", "a = b - ")
"""What lines are made of that make a pattern try everything."""
MOST_TEMPERS = 40


def require_sound(pattern: str) -> None:
    """Short, readable, and quick on lines that are made to keep it busy. It may be slow on another line: the limit of
    each look stands. Raises SignalPatternError, HypervisorUnavailableError."""
    why = _why_unsound(pattern)
    if why is not None:
        raise SignalPatternError(why, remedy=REMEDY)


@lru_cache(maxsize=1024)
def _why_unsound(pattern: str) -> str | None:
    """Once for each: a host reports its guests every few seconds."""
    if len(pattern) > LONGEST_PATTERN:
        return f"the pattern {pattern[:20]!r}… has {len(pattern):,} characters, more than {LONGEST_PATTERN}"
    if is_text(pattern):
        return None
    matcher = Matcher()
    try:
        matcher.ask({"pattern": pattern, "lines": tempting_lines(pattern)})
    except SignalPatternError as error:
        return error.message
    finally:
        matcher.close()
    return None


def is_text(pattern: str) -> bool:
    return not SPECIAL & frozenset(pattern)


def tempting_lines(pattern: str) -> list[str]:
    """Long ones, of what the pattern itself names and of what lines are made of. None ends as it goes on."""
    own = (*re.findall(r"\w+", pattern), *(each for each in pattern if each not in SPECIAL))
    tempers = tuple(dict.fromkeys((*TEMPERS, *own)))[:MOST_TEMPERS]
    return [(each * LONGEST_LINE)[: LONGEST_LINE - 1] + "\0" for each in tempers]


class Matcher:
    """To be shared by all threads of a worker."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: list[AskedProcess] = []

    def console_says(self, path: Path, pattern: str) -> bool:
        """A line in the newest part of it matches. Raises SignalPatternError, HypervisorUnavailableError, OSError."""
        if is_text(pattern):
            return any(pattern in line for line in lines_of(path))
        return self.ask({"pattern": pattern, "file": str(path)})

    def ask(self, request: dict[str, Any]) -> bool:
        """Raises SignalPatternError, HypervisorUnavailableError: it says nothing about the pattern."""
        process = self._taken()
        try:
            process.tell(request)
            answer = process.answer(timeout=WAIT, beat=_no_beat)
        except (EndedError, LateError) as error:
            raise _no_answer(request["pattern"], process.end()) from error
        except BaseException:
            process.end()
            raise
        self._give_back(process)
        if "wrong" in answer:
            raise SignalPatternError(
                f"the pattern {request['pattern']!r} cannot be read: {answer['wrong']}", remedy=REMEDY
            )
        return answer["found"]

    def close(self) -> None:
        """The idle processes end."""
        with self._guard:
            while self._idle:
                self._idle.pop().end()

    def _taken(self) -> AskedProcess:
        with self._guard:
            return self._idle.pop() if self._idle else AskedProcess(PROGRAM)

    def _give_back(self, process: AskedProcess) -> None:
        with self._guard:
            if len(self._idle) < KEPT:
                self._idle.append(process)
                return
        process.end()


def _no_answer(pattern: str, code: int | None) -> EvacuateError:
    if code == -OUT_OF_TIME:
        return SignalPatternError(f"the pattern {pattern!r} takes longer than {MOST_TIME:g} s", remedy=REMEDY)
    return HypervisorUnavailableError(
        f"nobody says in {WAIT:g} s whether a line matches {pattern!r}", remedy="see what keeps this machine busy"
    )


def _no_beat() -> None:
    pass
