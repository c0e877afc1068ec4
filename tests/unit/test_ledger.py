"""Who has seen what of the ledger, and what a host remembers of it."""

from pathlib import Path

import pytest

from evacuation.ledger import LedgerMark, Witness, why_not
from services.hypervisors.ledger import HostLedger

A, B = "ledger-a", "ledger-b"


def mark(ledger: str, position: int, *replaces: str) -> LedgerMark:
    return LedgerMark(ledger=ledger, position=position, replaces=replaces)


@pytest.mark.parametrize(
    ("now", "seen", "says"),
    [
        (mark(A, 7), mark(A, 7), None),
        (mark(A, 7), mark(A, 3), None),
        (mark(A, 7), mark(A, 8), "older than what cmp-1 has seen of it (1 "),
        (mark(A, 7), mark(B, 1), "another one"),
        (mark(A, 7, B), mark(B, 900), None),
    ],
)
def test_ledger_is_told_from_the_one_that_was_seen(now: LedgerMark, seen: LedgerMark, says: str | None) -> None:
    why = why_not(now, Witness(who="cmp-1", mark=seen))
    assert (why is None) if says is None else (why is not None and says in why)


def test_host_keeps_the_highest_position_when_its_worker_starts_again(tmp_path: Path) -> None:
    first = HostLedger(tmp_path / "ledger.json")
    assert first.known() is None
    for position in (3, 9, 4):
        first.note(mark(A, position))
    first.note(None)
    assert HostLedger(tmp_path / "ledger.json").known() == mark(A, 9)


def test_host_goes_over_to_another_ledger_only_when_that_has_taken_its_own_over(tmp_path: Path) -> None:
    host = HostLedger(tmp_path / "ledger.json")
    host.note(mark(A, 9))
    host.note(mark(B, 100))
    assert host.known() == mark(A, 9)
    host.note(mark(B, 2, A))
    host.note(mark(A, 10))
    assert host.known() == mark(B, 2, A)
