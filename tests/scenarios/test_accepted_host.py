"""A host that was repaired with another board: refused, told, accepted by a person's word, and back with its guests."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from tests.scenarios.scenario import HERE
from tests.support.stack import Answer, Stack, plain

BOARD = f"another-board-{uuid4()}"
ACCEPT = ["host", "accept", "cmp-1", "--confirmed-gone", "Jo swapped the board"]
WORLD = yaml.safe_load((HERE / "world.yaml").read_text())
WORLD["instances"].append({"name": "web-02", "host": "cmp-1", "flavor": {"vcpus": 1, "memory_mb": 512, "disk_gb": 5}})


def swap_board(running: Stack) -> None:
    """cmp-1 is dead, and comes back as another hypervisor."""
    assert running.run("host kill cmp-1").code == 0
    path = Path(running.environment["EVACUATE_STATE_DIR"]) / "hosts" / "cmp-1" / "power.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(json.loads(path.read_text()) | {"hypervisor_uuid": BOARD}))
    new.replace(path)
    assert running.run("host start cmp-1 --no-wait").code == 0
    running.until(lambda: shown(running)["refused"] is not None, "the other board is refused, and it is noted")


def shown(running: Stack) -> dict[str, Any]:
    found: dict[str, Any] = running.run("host show cmp-1 --json").json
    return found


def home(running: Stack) -> set[str]:
    """Guests that run on cmp-1."""
    rows = running.run("instance list --json").json
    return {row["name"] for row in rows if row["host"] == "cmp-1" and row["power_state"] == "running"}


def test_repaired_host_comes_back_by_a_persons_word(stack: Any):
    """Though the control worker dies over it, before the word is taken and after."""
    faults = [{"activity": "accept_identity", "at": at, "do": "kill", "times": 1} for at in ("before", "after")]
    running: Stack = stack(WORLD, faults)
    there = home(running)
    swap_board(running)
    refused = shown(running)["refused"]
    assert refused["hypervisor_uuid"] == BOARD and there
    log = Path(running.environment["EVACUATE_STATE_DIR"]) / "logs" / "host-cmp-1.log"
    running.until(lambda: "evacuate host accept cmp-1" in plain(log.read_text()), "its worker says what to do")
    for told in (running.run("host list").err, running.run(["host", "down", "cmp-1", "--confirmed-off", "seen"]).err):
        assert "evacuate host accept cmp-1" in plain(told) and BOARD in told
    asked = running.run(ACCEPT)
    assert (asked.code, all(name in asked.err for name in there)) == (2, True), asked
    accepted = running.run([*ACCEPT, "--yes", "--json"])
    assert accepted.code == 0, accepted
    assert (accepted.json["hypervisor_uuid"], accepted.json["replaced"][0]["said"]) == (
        BOARD,
        "Jo swapped the board",
    )
    running.until(lambda: shown(running)["state"] == "up" and home(running) == there, "it is back, with its guests")
    again = running.run([*ACCEPT, "--yes"])
    assert (again.code, "nothing to accept" in again.err) == (2, True), again
    assert running.run("check").code == 0


def test_running_evacuation_goes_on_and_holds_the_board_that_was_accepted(stack: Any):
    running: Stack = stack(WORLD, [{"activity": "spawn_guest", "instance": "web-01", "at": "before", "do": "hold"}])
    assert running.run("host kill cmp-1").code == 0
    assert running.run("instance evacuate web-01 --no-wait").code == 0
    running.until_step("web-01", "spawn_guest")
    swap_board(running)
    assert running.run([*ACCEPT, "--yes"]).code == 0
    running.until(lambda: shown(running)["incarnation"] not in boots(running), "the new board has come")
    assert shown(running)["state"] == "down"
    running.set_faults([])
    running.until(lambda: shown(running)["state"] == "up", "it is back")
    assert running.run("instance show web-01 --json").json["host"] != "cmp-1"
    assert home(running) == {"web-02"} and recovered(running.run("migration list --json"))
    assert running.run("check").code == 0


def boots(running: Stack) -> set[str]:
    return {each["incarnation"] for each in shown(running)["replaced"]}


def recovered(listed: Answer) -> bool:
    return [row["status"] for row in listed.json] == ["completed"]
