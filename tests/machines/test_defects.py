"""The machine finds what it is there to find: each defect of `mutants.py`, within bounded examples."""

import os

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.machines.budget import finding
from tests.machines.mutants import MUTANTS, ON_POSTGRES, QUICK, WHEN_OPERATORS_ERR
from tests.machines.stores import Fresh
from tests.machines.test_store import machine

ALL = os.environ.get("EVACUATE_EXAMPLES") is not None
"""A long run looks for all of them, a usual one for those that name a promise each."""


class Found(Exception):
    """An invariant that did not hold, a call that failed as no call may, or an end that never came."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", sorted(MUTANTS) if ALL else QUICK)
def test_machine_finds_a_store_with_a_defect(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str
):
    fresh: Fresh = request.getfixturevalue("postgres_store" if name in ON_POSTGRES else "sqlite_store")
    MUTANTS[name](monkeypatch)
    with pytest.raises(Found):
        look_for_it(fresh, lies=name in WHEN_OPERATORS_ERR)


def look_for_it(fresh: Fresh, *, lies: bool) -> None:
    try:
        run_state_machine_as_test(machine(fresh, lies=lies), settings=finding(150, steps=15))
    except Exception as error:
        raise Found from error
