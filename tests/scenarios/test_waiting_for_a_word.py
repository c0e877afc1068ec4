"""A site whose policy wants a person's word, or whose power nothing here can cut: evacuations wait for it."""

from typing import Any

import yaml

from tests.scenarios.scenario import HERE
from tests.support.stack import Stack

WAITS = {"EVACUATE_FENCING_UNMET": "wait"}


def blocked(stack: Any, settings: dict[str, str]) -> Stack:
    """web-01's host is dead, and its evacuation is asked for and waits."""
    running: Stack = stack(yaml.safe_load((HERE / "world.yaml").read_text()), [], WAITS | settings)
    assert running.run("host kill cmp-1").code == 0
    assert running.run("instance evacuate web-01 --no-wait").code == 0
    running.until_step("web-01", "blocked")
    return running


def ends_recovered(running: Stack) -> list[str]:
    """Everything that allowed the start on the destination."""
    word = running.run(["host", "down", "cmp-1", "--confirmed-off", "Jo pulled the plug"])
    assert word.code == 0, word
    running.until(lambda: [row["status"] for row in running.run("migration list --json").json] == ["done"], "recovered")
    assert running.run("check").code == 0
    with running.services() as services:
        return [each.proof or "" for each in services.views.residences() if each.host == "cmp-1" and each.proof]


def test_evacuation_waits_where_no_power_can_be_cut_and_goes_on_at_a_word(stack: Any):
    running = blocked(stack, {"EVACUATE_FENCING": "operator"})
    assert ends_recovered(running)[-1] == "operator: Jo pulled the plug"


def test_evacuation_waits_for_a_word_beside_the_power_where_the_policy_wants_both(stack: Any):
    running = blocked(stack, {"EVACUATE_FENCING_POLICY": "2 of power, operator"})
    proof = ends_recovered(running)[-1]
    assert proof.startswith("power-off: ") and proof.endswith("; operator: Jo pulled the plug")
