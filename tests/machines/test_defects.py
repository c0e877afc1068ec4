"""The machine finds what it is there to find: stores with a defect (`mutants.py`).

For some of them the shortest way is told, by the machine's own rules: it must break at the end of it, and a sound store
must not. In a long run the machine looks for every one of them itself."""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.machines.budget import finding
from tests.machines.mutants import MUTANTS, ON_POSTGRES, WHEN_OPERATORS_ERR
from tests.machines.store_machine import StoreMachine
from tests.machines.stores import Fresh
from tests.machines.test_store import machine

LONG = os.environ.get("EVACUATE_EXAMPLES") is not None


class Found(Exception):
    """An invariant that did not hold, a call that failed as no call may, or an end that never came."""


def a_frozen_begin_thaws_when_a_later_request_has_ended(machine: StoreMachine) -> None:
    machine.request(pick=0, why="its host died")
    machine.terminate(pick=0, before=1, call="freezes, and thaws at the end", after=40)


def the_source_comes_back_before_the_start_is_allowed(machine: StoreMachine) -> None:
    machine.request(pick=0, why="it is said to be off")
    machine.source_returns(pick=0, before=6, after=5)


def all_of_a_host_claim_at_once(machine: StoreMachine) -> None:
    machine.claim_at_once("cmp-1")


def it_is_cancelled_after_the_claim(machine: StoreMachine) -> None:
    machine.request(pick=0, why="its host died")
    machine.go(pick=0, calls=6)
    machine.cancel(pick=0)
    machine.go(pick=0, calls=40)


def the_answer_of_the_spawn_is_lost(machine: StoreMachine) -> None:
    machine.request(pick=0, why="its host died")
    machine.go(pick=0, calls=11)
    machine.die(pick=0, fuse=3)
    machine.go(pick=0, calls=40)


WAYS: Mapping[str, Callable[[StoreMachine], None]] = MappingProxyType(
    {
        "begin_does_not_compare": a_frozen_begin_thaws_when_a_later_request_has_ended,
        "authorize_accepts_voided_evidence": the_source_comes_back_before_the_start_is_allowed,
        "claim_ignores_the_generation": all_of_a_host_claim_at_once,
        "release_forgets_the_allocation": it_is_cancelled_after_the_claim,
        "release_keeps_the_sources_half": it_is_cancelled_after_the_claim,
        "undoing_leaves_the_ports": it_is_cancelled_after_the_claim,
        "end_forgets_the_task": it_is_cancelled_after_the_claim,
        "undoing_does_not_ask_for_the_guest": the_answer_of_the_spawn_is_lost,
    }
)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, name: str) -> Fresh:
    return request.getfixturevalue("postgres_store" if name in ON_POSTGRES else "sqlite_store")


def go(fresh: Fresh, name: str) -> None:
    """Along the way, to the end of the example."""
    told = machine(fresh, lies=name in WHEN_OPERATORS_ERR)()
    try:
        WAYS[name](told)
        told.nothing_is_broken()
        told.rows_are_sound()
    finally:
        told.teardown()


@pytest.mark.parametrize("name", sorted(WAYS))
def test_machine_tells_a_store_with_a_defect_from_a_sound_one(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, name: str):
    go(fresh, name)
    MUTANTS[name](monkeypatch)
    with pytest.raises(AssertionError):
        go(fresh, name)


@pytest.mark.skipif(not LONG, reason="only in a long run: EVACUATE_EXAMPLES=50")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_machine_finds_a_store_with_a_defect(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, name: str):
    MUTANTS[name](monkeypatch)
    with pytest.raises(Found):
        look_for_it(fresh, lies=name in WHEN_OPERATORS_ERR)


def look_for_it(fresh: Fresh, *, lies: bool) -> None:
    try:
        run_state_machine_as_test(machine(fresh, lies=lies), settings=finding(40, steps=40))
    except Exception as error:
        raise Found from error
