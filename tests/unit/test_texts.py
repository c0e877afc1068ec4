"""What travels is bounded, and says as much as there is room for."""

from datetime import UTC, datetime

import pytest

from evacuation.errors import ErrorDetail
from evacuation.messages import AttemptResult, EvacuationOutcome
from evacuation.model import Rejection
from evacuation.placement import EXPLAINED, explain
from evacuation.texts import CUT, OUTCOME_LIMIT, is_cut, shorten, size, small_detail, small_outcome

WILD = {
    "long": "m" * 100_000,
    "umlauts": "ü" * 100_000,
    "control characters": "\x01" * 100_000,
    "quotes": '"\\' * 50_000,
    "no Unicode": "\udcff" * 50_000,
    "lines": "line\n" * 50_000,
}


@pytest.mark.parametrize("text", WILD.values(), ids=WILD)
@pytest.mark.parametrize("limit", [30, 200, 900])
def test_shorten_keeps_one_line_that_fits_and_says_that_it_was_cut(text: str, limit: int):
    short = shorten(text, limit)
    assert limit * 0.5 < size(short) <= limit
    assert short.endswith(CUT) and "\n" not in short
    short.encode()


def test_shorten_leaves_what_fits():
    assert shorten("the BMC is silent", 100) == "the BMC is silent"


def test_small_detail_names_as_many_hosts_as_there_is_room_for():
    hosts = tuple(Rejection(host=f"cmp-{n}", reason="full") for n in range(500))
    said = ErrorDetail(message="no host fits", remedy="add one", hosts=hosts)
    assert 10 < len(small_detail(said).hosts) < 500
    assert small_detail(said.model_copy(update={"hosts": hosts[:3]})).hosts == hosts[:3]


def outcome(reason: str, attempts: int) -> EvacuationOutcome:
    tried = tuple(AttemptResult(host="h" * 63, result="refused", reason=reason) for _ in range(attempts))
    now = datetime.now(UTC)
    return EvacuationOutcome(
        evacuation_id="e" * 36,
        instance_id="i" * 36,
        outcome="not_recovered",
        source="s" * 63,
        error_type="HypervisorUnavailableError",
        reason=reason,
        attempts=tried,
        started_at=now,
        finished_at=now,
    )


@pytest.mark.parametrize("text", WILD.values(), ids=WILD)
@pytest.mark.parametrize("attempts", [0, 5, 50])
def test_small_outcome_fits_and_says_that_there_is_more(text: str, attempts: int):
    short = small_outcome(outcome(text, attempts))
    assert len(short.model_dump_json().encode()) <= OUTCOME_LIMIT
    assert is_cut(short)


def test_small_outcome_is_whole_when_there_is_room():
    whole = outcome("cmp-2: full", 2)
    assert small_outcome(whole) == whole
    assert not is_cut(whole)


def test_explanation_of_a_large_fleet_names_each_reason_and_hosts_that_it_holds_for():
    rejected = [Rejection(host=f"cmp-{n:03}", reason="disabled" if n % 5 else "down") for n in range(500)]
    rejected.append(Rejection(host="cmp-999", reason="it is the source"))
    told = explain(rejected)
    assert size(told) <= EXPLAINED
    assert told.startswith("disabled: cmp-001, cmp-002")
    for part in ("more; down: cmp-000, cmp-005", "it is the source: cmp-999"):
        assert part in told


def test_explanation_of_many_reasons_counts_the_hosts_that_it_leaves_out():
    rejected = [Rejection(host=f"cmp-{n:03}", reason=f"needs {n} vcpus, {'0' * 200} free") for n in range(500)]
    told = explain(rejected)
    assert size(told) <= EXPLAINED + 100
    assert told.endswith("492 more for other reasons")
