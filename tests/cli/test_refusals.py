"""What is refused: one line on stderr that names the cause and a remedy, exit code 2 or 3, never a traceback."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.state import StateDir
from services.hypervisors.process import ProcessHost
from tests.cli.conftest import NOBODY, Command
from tests.support.stack import Answer

ROOT = Path(__file__).resolve().parents[2]


def is_one_line(answer: Answer, code: int, *parts: str) -> None:
    lines = answer.err.strip().splitlines()
    assert answer.code == code, answer
    assert len(lines) == 1, answer
    assert lines[0].startswith("error: "), answer
    assert all(part in lines[0] for part in parts), answer
    assert len(lines[0]) < 3000, "nobody reads it"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("bogus", "No such command"),
        ("host bogus", "No such command"),
        ("host list --bogus", "No such option"),
        ("host show", "HOST"),
        ("host down cmp-1", "--confirmed-off"),
        ("instance evacuate web-01 --target-state paused", "paused"),
        ("demo --hosts 1", "--hosts"),
    ],
)
def test_command_line_is_refused_when_it_is_malformed(evacuate: Command, line: str, part: str) -> None:
    is_one_line(evacuate(*line.split()), 2, part)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["instance", "show", "nope"], ["nope"]),
        (["instance", "show", "no such name"], ["not the name of an instance"]),
        (["instance", "evacuate", "../etc"], ["not the name of an instance"]),
        (["instance", "evacuate", "web-01", "--target", "a b"], ["not the name of a host"]),
        (["instance", "evacuate", "web-01", "--wait-for-capacity", "soon"], ["not a duration", "30m"]),
        (["instance", "evacuate", "web-01", "--source-confirmed-off", " "], ["--source-confirmed-off is empty"]),
        (["instance", "evacuate", "web-01", "--join", "--target", "cmp-2"], ["--join", "leave out"]),
        (["instance", "cancel", "nope"], ["nope"]),
        (["instance", "delete", "nope"], ["nope"]),
        (["host", "show", "cmp-9"], ["cmp-9"]),
        (["host", "kill", "cmp-9"], ["cmp-9"]),
        (["host", "start", "cmp 1"], ["not the name of a host"]),
        (["host", "kill", "cmp-1"], ["not a host of an embedded stack"]),
        (["host", "down", "cmp-1", "--confirmed-off", ""], ["--confirmed-off is empty"]),
        (["host", "down", "cmp-1", "--confirmed-off", "x" * 120_000], ["has 120000 characters", "500"]),
        (["host", "down", "cmp-1", "--confirmed-off", "a\0b"], ["no text"]),
        (["instance", "evacuate", "web-01", "--source-confirmed-off", "x" * 501], ["has 501 characters", "500"]),
        (["instance", "evacuate", "x" * 120_000], ["not the name of an instance"]),
        (["instance", "evacuate", "web-01", "--wait-for-capacity", "9" * 120_000], ["not a duration"]),
        (["x" * 120_000], ["No such command"]),
        (["instance", "show", "\udcff"], ["'\\udcff' is not UTF-8"]),
        (["host", "down", "cmp-1", "--confirmed-off", "seen \udcff"], ["is not UTF-8"]),
        (["--state-dir", "/tmp/\udcff", "host", "list"], ["is not UTF-8"]),
        (["action", "list", "nope"], ["nope"]),
        (["watch", "nope"], ["nope"]),
        (["report", "web-01"], ["never evacuated"]),
    ],
)
def test_names_and_options_are_refused_when_they_are_unknown_or_malformed(
    evacuate: Command, store: StateDir, words: list[str], parts: list[str]
) -> None:
    is_one_line(evacuate(*words), 2, *parts)


@pytest.mark.parametrize("verb", ["evacuate", "cancel", "delete"])
def test_refusal_is_an_outcome_too_when_json_is_asked_for(evacuate: Command, store: StateDir, verb: str) -> None:
    answer = evacuate("instance", verb, "nope", "--json")
    is_one_line(answer, 2, "nope")
    assert answer.json["outcome"] == "refused"
    assert answer.json["error_type"] == "InstanceNotFoundError"
    assert answer.json["instance_id"] == "nope"


@pytest.mark.parametrize("words", ["host list", "instance show web-01", "instance evacuate web-01", "check"])
def test_command_names_the_store_when_there_is_none(evacuate: Command, state: StateDir, words: str) -> None:
    is_one_line(evacuate(*words.split()), 3, str(state.store), "evacuate up")
    assert not state.path.exists(), "a command that reads makes no database"


@pytest.mark.parametrize("words", ["instance evacuate web-01", "instance cancel web-01", "instance delete web-01"])
def test_command_names_the_address_when_temporal_does_not_answer(
    evacuate: Command, store: StateDir, words: str
) -> None:
    is_one_line(evacuate(*words.split()), 3, NOBODY, "evacuate up")


def test_store_is_refused_when_its_schema_is_newer(evacuate: Command, store: StateDir) -> None:
    with sqlite3.connect(store.store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    is_one_line(evacuate("host", "list"), 2, "upgrade")
    is_one_line(evacuate("store", "migrate"), 2, "upgrade")


def test_setting_is_refused_when_it_is_malformed(
    evacuate: Command, store: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVACUATE_TIME_SCALE", "quick")
    is_one_line(evacuate("host", "list"), 2, "EVACUATE_TIME_SCALE")


HOST = "{name: cmp-1, vcpus: 4, memory_mb: 4096, disk_gb: 100}"
GUEST = "{name: web-01, host: cmp-1, flavor: {vcpus: 1, memory_mb: 512, disk_gb: 5}"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["fleet.yaml", "empty"]),
        ("[1, 2]", ["fleet.yaml"]),
        ("hosts: [", ["fleet.yaml", "YAML"]),
        ("hosts: [{name: cmp-1, vcpus: many, memory_mb: 1, disk_gb: 1}]", ["fleet.yaml:1", "hosts[0].vcpus"]),
        (f"hosts: [{HOST}]\ncolour: red", ["fleet.yaml:2", "colour"]),
        (f"hosts:\n- {HOST}\n- {HOST}", ["fleet.yaml:3", "cmp-1"]),
        (f"hosts: [{HOST}]\ninstances:\n- {GUEST}, ports: [{{network: lan}}]}}", ["fleet.yaml:3", "lan"]),
        (f"hosts: [{HOST}]\ninstances:\n- {GUEST}}}\n- {GUEST.replace('vcpus: 1', 'vcpus: 9')}}}", ["fleet.yaml"]),
        (f"hosts: [{HOST}]\ninstances:\n- {GUEST.replace('vcpus: 1', 'vcpus: 9')}}}", ["fleet.yaml", "cmp-1", "vcpus"]),
    ],
)
def test_fleet_is_refused_when_its_file_is_wrong(
    evacuate: Command, state: StateDir, tmp_path: Path, text: str, parts: list[str]
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    is_one_line(evacuate("up", "--detach", "--fleet", str(file)), 2, *parts)
    assert not state.path.exists(), "nothing is made before the fleet is sound"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("- {activity: spawn_guest, do: explode}", ["rule 0.do"]),
        ("- {activity: spawn_guest, do: fail, colour: red}", ["rule 0.colour"]),
        ("- {activity: spawn_guest, do: fail, times: 0}", ["rule 0.times"]),
        ("- {do: fail}", ["rule 0.activity"]),
        ("spawn_guest", ["faults.yaml"]),
        ("- [", ["not YAML"]),
    ],
)
def test_faults_are_refused_when_their_file_is_wrong(
    evacuate: Command, state: StateDir, tmp_path: Path, text: str, parts: list[str]
) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    is_one_line(evacuate("up", "--detach", "--faults", str(file)), 2, str(file), *parts)
    assert not state.path.exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [(["host", "--host", "cmp-9"], "cmp-9"), (["host", "--host", "no name"], "not a host's name")],
)
def test_worker_ends_with_one_line_when_its_host_is_unknown(store: StateDir, words: list[str], part: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "worker.py"), *words], capture_output=True, text=True, check=False, timeout=30
    )
    is_one_line(Answer(done.returncode, done.stdout, done.stderr), 2, part)


def test_worker_is_refused_when_it_is_to_boot_a_host_that_was_switched_off(store: StateDir) -> None:
    host = ProcessHost(store.path, "cmp-1")
    host.power_on()
    host.power_off()
    words = [
        sys.executable,
        str(ROOT / "worker.py"),
        "host",
        "--host",
        "cmp-1",
        "--boot",
        "--state-dir",
        str(store.path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    is_one_line(Answer(done.returncode, done.stdout, done.stderr), 2, "powered off")
    assert host.is_marked_off()


def test_options_are_taken_in_any_order(evacuate: Command, store: StateDir) -> None:
    elsewhere = str(store.path)
    orders = [
        ["--state-dir", elsewhere, "instance", "show", "web-01", "--json"],
        ["instance", "show", "--json", "web-01", "--state-dir", elsewhere],
        ["instance", "show", "--state-dir", elsewhere, "--json", "web-01"],
    ]
    answers = [evacuate(*words) for words in orders]
    assert [answer.json["name"] for answer in answers] == ["web-01"] * 3


@pytest.mark.parametrize("what", ["host", "instance", "migration", "allocation", "port", "volume"])
def test_list_is_one_json_array_when_json_is_asked_for(evacuate: Command, store: StateDir, what: str) -> None:
    answer = evacuate(what, "list", "--json")
    assert answer.code == 0
    assert isinstance(answer.json, list)
    assert answer.err == ""
