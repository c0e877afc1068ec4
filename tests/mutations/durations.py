"""A pytest plugin: a line for each test and how long it took, in the file that EVACUATE_TEST_DURATIONS names."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

_seconds: Counter[str] = Counter()


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of all phases; where the tests run in several processes, the first one hears of all of them."""
    _seconds[report.nodeid] += report.duration
    if report.when == "teardown" and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(os.environ["EVACUATE_TEST_DURATIONS"]).open("a") as file:
            file.write(json.dumps({"test": report.nodeid, "seconds": round(_seconds[report.nodeid], 3)}) + "\n")
