"""Texts that travel: one line each, of a bounded size. What is cut ends in an ellipsis."""

import json

from evacuation.errors.detail import ErrorDetail
from evacuation.messages import AttemptResult, EvacuationOutcome
from evacuation.model import Rejection

FAILURE_LIMIT = 2048
"""Bytes of a whole failure as it travels. Temporal replaces a retried one over 4,096, and with it type and cause."""
MESSAGE_LIMIT, REMEDY_LIMIT = 900, 400
DETAIL_LIMIT = 1700
"""Message, remedy and hosts together: the rest is the type, and what the encoding adds."""
OUTCOME_MESSAGE_LIMIT, OUTCOME_REMEDY_LIMIT, OUTCOME_LIMIT = 450, 250, 1050
REASON_LIMITS = (300, 150, 75, 30)
CUT = "…"


def shorten(text: str, limit: int) -> str:
    """One line that takes at most `limit` bytes in JSON. What is no Unicode is written out."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    if size(line) <= limit:
        return line
    room = limit - len(CUT.encode())
    kept = line[:room]
    while size(kept) > room:
        kept = kept[: len(kept) - max(1, (size(kept) - room) // 6)]
    return kept.rstrip() + CUT


def size(text: str) -> int:
    """Bytes in JSON, without the quotes."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def small_detail(said: ErrorDetail) -> ErrorDetail:
    """What travels beside the message, which the failure itself has: as many hosts as there is room for."""
    remedy = shorten(said.remedy, REMEDY_LIMIT)
    room = DETAIL_LIMIT - size(said.message) - size(remedy)
    kept: list[Rejection] = []
    for host in said.hosts:
        each = Rejection(host=host.host, reason=shorten(host.reason, max(REASON_LIMITS)))
        room -= len(each.model_dump_json().encode()) + 1
        if room < 0:
            break
        kept.append(each)
    return said.model_copy(update={"message": "", "remedy": remedy, "hosts": tuple(kept)})


def small_outcome(outcome: EvacuationOutcome) -> EvacuationOutcome:
    """The outcome with its reasons as long as there is room for; the store has the whole of it."""
    for limit in REASON_LIMITS:
        short = _with_reasons(outcome, limit)
        if len(short.model_dump_json().encode()) <= OUTCOME_LIMIT:
            return short
    return _with_reasons(outcome, min(REASON_LIMITS)).model_copy(update={"attempts": ()})


def _with_reasons(outcome: EvacuationOutcome, limit: int) -> EvacuationOutcome:
    attempts = tuple(_shortened(attempt, limit // 2) for attempt in outcome.attempts)
    reason = None if outcome.reason is None else shorten(outcome.reason, limit)
    return outcome.model_copy(update={"attempts": attempts, "reason": reason})


def _shortened(attempt: AttemptResult, limit: int) -> AttemptResult:
    return attempt.model_copy(update={"reason": shorten(attempt.reason, limit)})


def is_cut(outcome: EvacuationOutcome) -> bool:
    """Whether the store has more of it."""
    return any((text or "").endswith(CUT) for text in (outcome.reason, *(each.reason for each in outcome.attempts)))
