"""Guests that somebody has moved: no second copy starts, whoever asks, and their record follows them by a command."""

from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from tests.scenarios.damage import extra_guest, guests_of
from tests.scenarios.scenario import HERE
from tests.support.stack import Stack

WORLD = yaml.safe_load((HERE / "world.yaml").read_text()) | {"disk_lock": False}
SMALL = {"host": "cmp-1", "flavor": {"vcpus": 1, "memory_mb": 512, "disk_gb": 5}}
WORLD["instances"] += [{"name": "web-02", **SMALL}, {"name": "web-03", **SMALL}]
MOVED = ("web-01", "web-02")


def shown(running: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = running.run(f"instance show {name} --json").json
    return found


def places(running: Stack, name: str) -> list[str]:
    return [guest.host for guest in guests_of(running, name)]


def breaches(running: Stack) -> set[tuple[str, str]]:
    return {(each["rule"], each["subject"]) for each in running.run("check --json").json}


@pytest.mark.timeout(180)
def test_guests_that_were_moved_are_started_nowhere_else_and_their_record_follows_them(stack: Any):
    """As after a live migration of web-01 and web-02 from cmp-1 to cmp-3, after which cmp-1 has died."""
    running: Stack = stack(WORLD)
    with ExitStack() as moved:
        epochs = {name: shown(running, name)["epoch"] for name in MOVED}
        assert running.run("host kill cmp-1").code == 0
        for name in MOVED:
            moved.enter_context(extra_guest(running, name, "cmp-3", epoch=epochs[name]))
        refused = running.run("instance evacuate web-01 --json")
        assert (refused.code, refused.json["error_type"]) == (1, "InstanceMisplacedError"), refused
        assert "cmp-3" in refused.json["reason"] and "evacuate instance moved web-01" in refused.json["reason"]
        again = running.run("instance evacuate web-01 --json")
        assert (again.code, again.json["outcome"]) == (2, "refused"), again
        assert [each["host"] for each in shown(running, "web-01")["seen_elsewhere"]] == ["cmp-3"]
        assert ("misplaced", "web-01") in breaches(running)
        (told,) = (each for each in running.run("host preflight cmp-1 --json").json if each["name"] == "web-01")
        assert not told["can"] and "cmp-3" in str(told)

        assert running.run("host start cmp-1").code == 0, "it serves, and starts what is nowhere else"
        running.until(lambda: shown(running, "web-03")["power_state"] == "running", "web-03 is back")
        assert [places(running, name) for name in MOVED] == [["cmp-3"], ["cmp-3"]]
        assert running.run("instance start web-02").code == 2

        for name in MOVED:
            follows = running.run(f"instance moved {name} --json")
            assert (follows.code, follows.json["host"]) == (0, "cmp-3"), follows
        nothing = running.run("instance moved web-01")
        assert (nothing.code, "where it is recorded" in nothing.err) == (2, True), nothing
        # A process cannot be migrated: what stands for it has begun again on the same disk, with the same epoch.
        assert {rule for rule, _ in breaches(running)} <= {"begun-again", "two-writers"}
        assert running.run("host kill cmp-3").code == 0
        recovered = running.run("instance evacuate web-01 --json")
        assert (recovered.code, recovered.json["source"]) == (0, "cmp-3"), recovered
        assert len(places(running, "web-01")) == 1
