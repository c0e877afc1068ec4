"""Timeouts and retries: one setting scales them all."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.workflow import ActivityCancellationType

from evacuation.messages import Tuning
from workflows.engine import policies
from workflows.engine.policies import Policy

ALL = {name: each for name, each in vars(policies).items() if isinstance(each, Policy)}
ON_A_HOST = {"HOST", "SPAWN", "LIVE"}
WITHOUT_END = {"MUST_HOLD", "WAIT_FOR_CAPACITY"}
"""The second one gets the request's own deadline."""


def durations(policy: Policy, scale: float) -> dict[str, timedelta]:
    config: dict[str, Any] = dict(policy.config(Tuning(scale=scale)))
    retry = config["retry_policy"]
    retries = {} if policy.once else {"first": retry.initial_interval, "last": retry.maximum_interval}
    return {**{key: value for key, value in config.items() if isinstance(value, timedelta)}, **retries}


@pytest.mark.parametrize("name", sorted(ALL))
def test_policy_scales_every_duration(name: str):
    whole, tenth = durations(ALL[name], 1.0), durations(ALL[name], 0.1)
    assert {key: value * 0.1 for key, value in whole.items()} == tenth


@pytest.mark.parametrize("name", sorted(ALL))
def test_policy_bounds_every_single_execution(name: str):
    assert durations(ALL[name], 1.0)["start_to_close_timeout"] > timedelta(0)


@pytest.mark.parametrize("name", sorted(ALL))
def test_policy_waits_to_be_taken_only_on_a_host(name: str):
    assert ("schedule_to_start_timeout" in durations(ALL[name], 1.0)) is (name in ON_A_HOST)


@pytest.mark.parametrize("name", sorted(ON_A_HOST))
def test_policy_of_a_host_effect_is_one_attempt(name: str):
    config: dict[str, Any] = dict(ALL[name].config(Tuning()))
    assert config["retry_policy"].maximum_attempts == 1


def test_policies_end_unless_what_they_do_must_hold():
    endless = {n for n, p in ALL.items() if not p.once and "schedule_to_close_timeout" not in durations(p, 1.0)}
    assert endless == WITHOUT_END


def test_policies_know_the_outcome_of_fence_and_spawn_before_a_cancel_goes_on():
    wait = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
    waiting = {name for name, each in ALL.items() if each.config(Tuning()).get("cancellation_type") == wait}
    assert waiting == {"FENCE", "SPAWN"}
    assert all("heartbeat_timeout" in durations(ALL[name], 1.0) for name in waiting)
