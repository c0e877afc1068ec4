"""A scenario is a folder of data: its name is a sentence, `scenario.yaml` its world, steps and expected end.

world      what differs from `world.yaml`: instances by name (null: left out), hosts, disk_lock …
settings   environment of the stack
faults     as `evacuate up --faults` takes them
steps      one after the other, each a mapping:
  run: COMMAND [exits: N] [json: {…}] [says: TEXT]     as users type it; json and says are what must be in the answer
  start: COMMAND, as: NAME [says: TEXT]   in the background, and until it has said so; `join: NAME` waits for its end,
                                          with the same expectations as `run`
  at: STEP, of: INSTANCE              wait until the workflow is at that step, or in that phase
  cancel_asked: INSTANCE              wait until a cancel has reached the workflow
  stop | cont | kill: ROLE            SIGSTOP, SIGCONT, SIGKILL of a worker (control, or a host)
  terminate | reset: INSTANCE         as the Web UI's buttons
  sql: STATEMENT                      out of band
  until: QUERY                        wait until its first column is true
  until_log: LOG, says: TEXT          wait until that log of the stack has the text, or one of a list of them
  faults: […]                         from here on
end        what must hold: instances, migrations, ports, volumes, guests (where they really run), disks, check
"""

import copy
import shlex
import signal
from collections.abc import Callable, Iterator
from os import kill
from pathlib import Path
from typing import Any

import yaml

from services.hypervisors.process import ProcessRoot
from services.hypervisors.process.disk import breaches, read_journal, runs
from tests.support.stack import Answer, Background, Stack, plain

HERE = Path(__file__).parent
SIGNALS = {"stop": signal.SIGSTOP, "cont": signal.SIGCONT, "kill": signal.SIGKILL}


def folders() -> list[Path]:
    return sorted(path.parent for path in HERE.glob("*/scenario.yaml"))


def read(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "scenario.yaml").read_text())


def fleet_of(scenario: dict[str, Any]) -> dict[str, Any]:
    """The common world with the scenario's differences."""
    fleet = copy.deepcopy(yaml.safe_load((HERE / "world.yaml").read_text()))
    for key, changes in (scenario.get("world") or {}).items():
        if isinstance(changes, dict):
            fleet[key] = list(_changed({row["name"]: row for row in fleet.get(key, [])}, changes))
        else:
            fleet[key] = changes
    return fleet


def _changed(rows: dict[str, Any], changes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    template = next(iter(rows.values()), {})
    for name in [*rows, *(name for name in changes if name not in rows)]:
        change = changes.get(name, {})
        if change is not None:
            own = rows.get(name) or {k: v for k, v in template.items() if k != "volumes"}
            yield own | {"name": name} | change


class Telling:
    """One scenario while it is told."""

    def __init__(self, stack: Stack, scenario: dict[str, Any]) -> None:
        self.stack = stack
        self.scenario = scenario
        self.started: dict[str, Background] = {}

    def tell(self) -> None:
        for number, step in enumerate(self.scenario["steps"]):
            verb = next(key for key in step if key in self.verbs)
            try:
                self.verbs[verb](step)
            except AssertionError as error:
                raise AssertionError(f"step {number + 1}, {step}: {error}") from error

    @property
    def verbs(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        stack = self.stack
        return {
            "run": self._run,
            "start": self._start,
            "join": self._join,
            "at": lambda step: stack.until_step(step["of"], step["at"]),
            "cancel_asked": lambda step: stack.until_cancel_is_asked(step["cancel_asked"]),
            "terminate": lambda step: stack.terminate(step["terminate"]),
            "reset": lambda step: stack.reset(step["reset"]),
            "until_log": self._until_log,
            "sql": lambda step: stack.sql(step["sql"]),
            "until": lambda step: stack.until(lambda: stack.sql_says(step["until"]), step["until"]),
            "faults": lambda step: stack.set_faults(step["faults"]),
            **dict.fromkeys(SIGNALS, self._signal),
        }

    def _run(self, step: dict[str, Any]) -> None:
        expect(step, self.stack.run(shlex.split(step["run"])))

    def _start(self, step: dict[str, Any]) -> None:
        started = self.started[step["as"]] = self.stack.start(shlex.split(step["start"]))
        self.stack.until(lambda: step.get("says", "") in started.said, f"it says {step.get('says')}")

    def _join(self, step: dict[str, Any]) -> None:
        expect(step, self.started[step["join"]].wait())

    def _until_log(self, step: dict[str, Any]) -> None:
        log = Path(self.stack.environment["EVACUATE_STATE_DIR"]) / "logs" / f"{step['until_log']}.log"
        texts = [step["says"]] if isinstance(step["says"], str) else step["says"]
        self.stack.until(lambda: any(text in log.read_text() for text in texts), str(step))

    def _signal(self, step: dict[str, Any]) -> None:
        verb = next(key for key in step if key in SIGNALS)
        kill(self.stack.worker(step[verb]), SIGNALS[verb])


def expect(step: dict[str, Any], answer: Answer) -> None:
    assert answer.code == step.get("exits", 0), answer
    assert plain(step.get("says", "")) in plain(answer.err + answer.out), answer
    if "json" in step:
        assert_contains(answer.json, step["json"])


def assert_contains(found: Any, wanted: Any, where: str = "") -> None:
    """Every given field; a text that begins with ~ must be in the field's text."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict), f"{where}: {found!r} is not {wanted!r}"
        for key, value in wanted.items():
            assert_contains(found.get(key), value, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted), f"{where}: {found!r} is not {wanted!r}"
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_contains(one, other, f"{where}[{index}]")
    elif isinstance(wanted, str) and wanted.startswith("~"):
        assert wanted[1:] in str(found), f"{where}: {found!r} has no {wanted[1:]!r}"
    else:
        assert found == wanted, f"{where}: {found!r} is not {wanted!r}"


class End:
    """The expected end, compared with the store, the process table and the disks."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.lists = {
            name: stack.run(f"{name} list --json").json
            for name in ("instance", "migration", "port", "volume", "allocation", "host")
        }
        self.ids = {row["name"]: row["id"] for row in self.lists["instance"]}

    def verify(self, end: dict[str, Any]) -> None:
        for what, wanted in end.items():
            getattr(self, what)(wanted)

    def instances(self, wanted: dict[str, Any]) -> None:
        rows = {row["name"]: row for row in self.lists["instance"]}
        assert_contains(rows, wanted, "instances")

    def hosts(self, wanted: dict[str, Any]) -> None:
        assert_contains({row["name"]: row for row in self.lists["host"]}, wanted, "hosts")

    def migrations(self, wanted: dict[str, list[str]]) -> None:
        for name, statuses in wanted.items():
            found = [r["status"] for r in self.lists["migration"] if r["instance_id"] == self.ids[name]]
            assert found == statuses, f"migrations of {name}: {found}"

    def ports(self, wanted: dict[str, list[str]]) -> None:
        for name, hosts in wanted.items():
            found = [row["host"] for row in self.lists["port"] if row["instance_id"] == self.ids[name]]
            assert found == hosts, f"ports of {name}: {found}"

    def allocations(self, wanted: dict[str, list[str]]) -> None:
        for name, hosts in wanted.items():
            found = [row["host"] for row in self.lists["allocation"] if row["consumer_id"] == self.ids[name]]
            assert found == hosts, f"allocations of {name}: {found}"
        consumers = {row["consumer_id"] for row in self.lists["allocation"]}
        assert consumers <= set(self.ids.values()), f"allocations of nobody: {consumers - set(self.ids.values())}"

    def volumes(self, wanted: dict[str, Any]) -> None:
        rows = {
            row["name"]: {"status": row["status"], "hosts": [a["host"] for a in row["attachments"]]}
            for row in self.lists["volume"]
        }
        assert_contains(rows, wanted, "volumes")

    def guests(self, wanted: dict[str, list[str]]) -> None:
        """Where each instance really runs, from the process table."""
        for name, hosts in wanted.items():
            self.stack.until(lambda name=name, hosts=hosts: self._runs_on(name) == hosts, f"{name} runs on {hosts}")

    def _runs_on(self, name: str) -> list[str]:
        return sorted(guest.host for guest in self.stack.world().guests if guest.instance_id == self.ids[name])

    def disks(self, wanted: dict[str, list[str]]) -> None:
        """Which hosts wrote to the instance's disk, in order; never two at once, and nothing lost."""
        root = ProcessRoot(Path(self.stack.environment["EVACUATE_STATE_DIR"]))
        for name, hosts in wanted.items():
            records = read_journal(root.disk(self.ids[name]))
            assert [run.host for run in runs(records)] == hosts, f"disk of {name}"
            assert breaches(records) == []

    def check(self, wanted: int) -> None:
        answer = self.stack.run("check --json")
        assert answer.code == wanted, answer
