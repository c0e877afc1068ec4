"""The measurement measures: what it compares has equal histories, and its lines say what they promise."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.measure import Measured, percentile
from tests.benchmarks.throughput import main, require_equal_histories


@pytest.mark.timeout(120)
def test_throughput_prints_a_line_for_each_size_when_both_sides_have_equal_histories(tmp_path: Path):
    out = tmp_path / "lines.jsonl"
    main(["--sizes", "2", "--rounds", "1", "--window", "2", "--out", str(out), "--directory", str(tmp_path / "work")])
    [line] = [json.loads(text) for text in out.read_text().splitlines()]
    assert (line["n"], line["rounds"], line["window"]) == (2, 1, 2)
    assert line["history_events"] > 60
    assert line["evacuations_per_s"] == pytest.approx(2 / line["wall_s"], rel=0.01)
    assert line["ratio_to_floor"] == pytest.approx(
        line["evacuations_per_s"] / line["floor_evacuations_per_s"], abs=0.01
    )
    assert 0 < line["p50_s"] <= line["p95_s"] <= line["wall_s"]
    assert set(line["rss_mb_by_role"]) == set(line["cpu_s_by_role"]) == {"temporal", "control", "host"}
    assert line["rss_mb"] == pytest.approx(sum(line["rss_mb_by_role"].values()), abs=0.1)


def measured(**events: int) -> Measured:
    return Measured(wall_s=1, took=(1,), returns=(1,), history=events, rss_mb={}, cpu_s={})


def test_floor_is_refused_when_its_history_differs():
    with pytest.raises(AssertionError, match="histories differ"):
        require_equal_histories([measured(timer_started=1), measured(timer_started=2)])


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (95, 10), (100, 10), (1, 1)])
def test_percentile_is_a_value_that_was_measured(percent: int, value: int):
    assert percentile(list(range(10, 0, -1)), percent) == value
