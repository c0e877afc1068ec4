"""A host whose own directory is wiped while it lives: what was called off there is called off again, and it serves."""

import json
import shutil
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.scenarios.scenario import HERE
from tests.support.stack import Stack, plain


def test_what_was_called_off_stays_so_though_its_host_forgets_it(stack: Any) -> None:
    """The spawn of epoch 2 ended unknown on cmp-2, and was settled there: a tombstone, which somebody wipes. Its other
    guest runs on."""
    first = {"activity": "spawn_guest", "host": "cmp-2", "at": "before", "do": "fail", "times": 1}
    running: Stack = stack(yaml.safe_load((HERE / "world.yaml").read_text()), [first])
    assert running.run("host kill cmp-1").code == 0
    assert running.run("instance evacuate web-01 --target cmp-2 --json").json["outcome"] == "recovered"
    instance = running.run("instance show web-01 --json").json
    assert instance["host"] == "cmp-2"
    home = Path(running.environment["EVACUATE_STATE_DIR"]) / "hosts" / "cmp-2"
    tombstone = home / "tombstones" / f"{instance['id']}.json"
    assert json.loads(tombstone.read_text()) == {"epoch": 2}
    before = running.worker("cmp-2")

    (home / "memory.json").unlink(missing_ok=True)
    shutil.rmtree(home / "tombstones")

    running.until(tombstone.exists, "it is called off again")
    assert json.loads(tombstone.read_text()) == {"epoch": 2}
    assert not psutil.pid_exists(before)
    log = home.parents[1] / "logs" / "host-cmp-2.log"
    assert "what the host remembered is not there any more" in plain(log.read_text())
    running.until(lambda: running.run("host show cmp-2 --json").json["state"] == "up", "it is up")
    after = running.run("instance show web-01 --json").json
    assert after | {"host_last_seen": None} == instance | {"host_last_seen": None}
    assert running.run("check").code == 0
