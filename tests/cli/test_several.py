"""Several instances in one command: an array in the order asked, and one exit code."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cli.evacuating import Started
from cli.several import Answer, Lost, code_of
from embedded.state import StateDir
from evacuation.messages import EvacuationOutcome
from tests.cli.conftest import Command

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def ended(outcome: Any) -> EvacuationOutcome:
    return EvacuationOutcome(evacuation_id="e", instance_id="i", outcome=outcome, source="cmp-1", started_at=NOW)


def lost(code: Any) -> Lost:
    return Lost(instance_id="i", source="cmp-1", error_type="TemporalUnavailableError", reason="silent", code=code)


STARTED = Started(evacuation_id="e", instance_id="i", source="cmp-1", workflow_id="evacuate-instance/i")
CODES: list[tuple[int, tuple[Answer, ...]]] = [
    (0, (ended("recovered"), ended("recovered"))),
    (0, (STARTED, STARTED)),
    (1, (ended("recovered"), ended("not_recovered"))),
    (1, (ended("recovered"), ended("cancelled"))),
    (1, (ended("recovered"), ended("refused"))),
    (1, (ended("not_recovered"), ended("refused"))),
    (1, (STARTED, ended("refused"))),
    (2, (ended("refused"), ended("refused"))),
    (3, (ended("recovered"), lost(3))),
    (3, (ended("refused"), lost(3))),
    (1, (ended("recovered"), lost(1))),
]


@pytest.mark.parametrize(("code", "answers"), CODES)
def test_exit_code_of_several(code: int, answers: tuple[Answer, ...]) -> None:
    assert code_of(answers) == code
    assert code_of(reversed(answers)) == code


def test_every_one_is_told_in_the_order_asked_when_every_one_is_refused(store: StateDir, evacuate: Command) -> None:
    answer = evacuate("instance", "evacuate", "nope", "web-01", "no such name", "--target", "a b", "--json")
    assert answer.code == 2, answer
    assert [each["outcome"] for each in answer.json] == ["refused"] * 3
    types = ["InstanceNotFoundError", "MalformedRequestError", "MalformedRequestError"]
    assert [each["error_type"] for each in answer.json] == types
    assert [each["instance_id"] for each in answer.json][0::2] == ["nope", "no such name"]
    errors = answer.err.strip().splitlines()
    assert [line.split(":")[1].strip() for line in errors] == ["nope", "web-01", "no such name"], answer
    assert all(line.startswith("error: ") for line in errors)


def test_several_are_told_in_a_table_without_json(store: StateDir, evacuate: Command) -> None:
    answer = evacuate("instance", "evacuate", "nope", "nada")
    assert answer.code == 2
    assert "nope" in answer.out and "nada" in answer.out and "refused" in answer.out


def test_nothing_is_told_when_temporal_was_never_there(store: StateDir, evacuate: Command) -> None:
    answer = evacuate("instance", "evacuate", "web-01", "web-02", "--json")
    assert (answer.code, answer.out) == (3, ""), answer


def test_one_of_them_is_asked_for_as_ever(store: StateDir, evacuate: Command) -> None:
    answer = evacuate("instance", "evacuate", "nope", "--json")
    assert (answer.code, answer.json["outcome"]) == (2, "refused")


def test_no_instance_is_malformed(evacuate: Command) -> None:
    assert evacuate("instance", "evacuate").code == 2
