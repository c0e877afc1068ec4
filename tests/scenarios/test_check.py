"""`check` names what was damaged by hand, and nothing else; and nothing at all in the life of sound instances."""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from evacuation.names import delete_instance_id
from services.hypervisors.process import ProcessHost
from services.runtime.stack_record import settings_for
from tests.scenarios.damage import (
    changed_disk,
    changed_rows,
    disk_of,
    extra_guest,
    guests_of,
    paused,
    pid_of,
    state_dir,
)
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(180)

SMALL = {"flavor": {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}, "ports": [{"network": "lan"}]}
EVACUATED = ("early-01", "late-01", "failed-01", "gone-01", "gone-02", "half-01", "lost-01")
"""On cmp-2, which is the host that dies; web-01 never leaves cmp-1, nor db-01 and cold-01 cmp-3."""
FLEET: dict[str, Any] = {
    "disk_lock": False,
    "hosts": [{"name": f"cmp-{n}", "vcpus": 16, "memory_mb": 4096, "disk_gb": 40} for n in (1, 2, 3)],
    "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
    "volumes": [{"name": "data-1", "size_gb": 1}, {"name": "data-2", "size_gb": 1}],
    "instances": [
        {"name": "web-01", "host": "cmp-1", "volumes": ["data-1"], **SMALL},
        {"name": "db-01", "host": "cmp-3", **SMALL},
        {"name": "cold-01", "host": "cmp-3", "vm_state": "stopped", **SMALL},
        *({"name": name, "host": "cmp-2", **SMALL} for name in EVACUATED if name != "failed-01"),
        {"name": "failed-01", "host": "cmp-2", "volumes": ["data-2"], **SMALL},
    ],
}

WEB = "(SELECT id FROM instance WHERE name = 'web-01')"
COLD = "(SELECT id FROM instance WHERE name = 'cold-01')"
BY_WEB = f"WHERE instance_id = {WEB}"
GONE = (
    '{"kind":"guest-gone","host":"cmp-3","incarnation":null,"who":"a test","reason":"","at":"2026-01-01T00:00:00Z",'
    '"scope":"host"}'
)
NEWER = "SELECT instance_id, 9, 'cmp-3', incarnation, {proof}, created_at FROM residence " + BY_WEB
RESIDENCE = "INSERT INTO residence (instance_id, epoch, host, incarnation, proof, created_at) "
EVACUATION = (
    "INSERT INTO evacuation (id, instance_id, owner, attempt, phase, request_id, migration_id, source, "
    f"vm_state_before, wanted, started_at) SELECT 'e', {WEB}, 'nobody', 0, '{{phase}}', 'r', 'm', 'cmp-1', "
    "'active', 'active', '2026-01-01'"
)
MIGRATION = (
    "INSERT INTO migration (id, evacuation_id, instance_id, type, status, source, source_epoch, created_at, "
    f"updated_at) SELECT 'm', 'e', {WEB}, 'evacuation', 'accepted', 'cmp-1', 1, '2026-01-01', '2026-01-01'"
)
ROOM = {("I4", "cmp-1")}
"""What is noted as free there does not agree any more."""
ALLOCATION = "INSERT INTO allocation (consumer_id, host, vcpus, memory_mb, disk_gb) VALUES ('nobody', 'cmp-1', 1, 1, 1)"
BINDING = f"INSERT INTO port_binding SELECT id, 'cmp-3', FALSE, 'DOWN' FROM port {BY_WEB}"
PORT_OF_WEB = f"WHERE port_id IN (SELECT id FROM port {BY_WEB})"

ROWS: dict[str, tuple[str, str, set[tuple[str, str]]]] = {
    "a residence of another epoch": ("residence", f"UPDATE residence SET epoch = 7 {BY_WEB}", {("I2", "web-01")}),
    "a newer residence": ("residence", RESIDENCE + NEWER.format(proof=f"'{GONE}'"), {("I2", "web-01")}),
    "a guest that ran before its disk begins": (
        "residence",
        "INSERT INTO residence (instance_id, epoch, host, incarnation, proof, started_at, created_at) SELECT "
        f"instance_id, 0, 'cmp-3', incarnation, '{GONE}', created_at, created_at FROM residence {BY_WEB}",
        {("I7", "web-01")},
    ),
    "a residence elsewhere": (
        "residence",
        f"UPDATE residence SET host = 'cmp-1' WHERE instance_id = {COLD}",
        {("I2", "cold-01")},
    ),
    "a task nobody owns": (
        "instance",
        "UPDATE instance SET task_state = 'rebuilding' WHERE name = 'web-01'",
        {("I3", "web-01")},
    ),
    "a deletion nobody carries out": (
        "instance",
        "UPDATE instance SET deleting = TRUE WHERE name = 'web-01'",
        {("I3", "web-01")},
    ),
    "an active instance that does not run": (
        "instance",
        "UPDATE instance SET vm_state = 'active' WHERE name = 'cold-01'",
        {("I3", "cold-01"), ("I4", "cold-01")},
    ),
    "an evacuation nobody runs": (
        "evacuation",
        EVACUATION.format(phase="undone"),
        {("I3", "web-01"), ("I4", "web-01")},
    ),
    "an evacuation without outcome": (
        "evacuation",
        EVACUATION.format(phase="closed"),
        {("I3", "web-01"), ("I4", "web-01")},
    ),
    "an allocation elsewhere": (
        "allocation",
        f"UPDATE allocation SET host = 'cmp-3' WHERE consumer_id = {WEB}",
        {("I4", "web-01"), ("I4", "cmp-1"), ("I4", "cmp-3")},
    ),
    "no allocation": ("allocation", f"DELETE FROM allocation WHERE consumer_id = {WEB}", ROOM | {("I4", "web-01")}),
    "an allocation of nobody": ("allocation", ALLOCATION, ROOM | {("I4", "nobody")}),
    "a host that is too full": ("host", "UPDATE host SET vcpus = 0 WHERE name = 'cmp-1'", {("I4", "cmp-1")}),
    "a port bound elsewhere": (
        "port_binding",
        f"UPDATE port_binding SET host = 'cmp-3' {PORT_OF_WEB}",
        {("I4", "web-01")},
    ),
    "an unbound port": ("port_binding", f"DELETE FROM port_binding {PORT_OF_WEB}", {("I4", "web-01")}),
    "a binding left elsewhere": ("port_binding", BINDING, {("I4", "web-01")}),
    "a volume attached elsewhere": (
        "attachment",
        f"UPDATE attachment SET connector = json_set(connector, '$.host', 'cmp-3') {BY_WEB}",
        {("I4", "web-01")},
    ),
    "a lost attachment": ("attachment", f"DELETE FROM attachment {BY_WEB}", {("I4", "web-01"), ("I4", "data-1")}),
    "a wrong volume status": (
        "volume",
        "UPDATE volume SET status = 'reserved' WHERE name = 'data-1'",
        {("I4", "data-1")},
    ),
    "a migration nobody owns": ("migration", MIGRATION, {("I4", "web-01"), ("I4", "migration m")}),
    "a deleted instance that holds things": (
        "instance",
        "UPDATE instance SET vm_state = 'deleted' WHERE name = 'cold-01'",
        {("I4", "cold-01")},
    ),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, temporal: str) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("check"), temporal)
    try:
        running.up(FLEET, [])
        yield running
    finally:
        running.down()


@pytest.fixture(autouse=True)
def repaired(stack: Stack) -> Iterator[None]:
    """Every test leaves the stack as sound as it found it."""
    assert_sound(stack)
    yield
    stack.set_faults([])
    if ProcessHost(state_dir(stack), "cmp-2").is_marked_off():
        answer = stack.run("host start cmp-2")
        assert answer.code == 0, answer
    # What has failed is tried on by itself, some seconds later.
    stack.until(lambda: stack.run("check").code == 0, "nothing is tried again any more")
    assert_sound(stack)


def assert_sound(stack: Stack) -> None:
    answer = stack.run("check --json")
    assert (answer.code, answer.json) == (0, []), answer


def assert_named(stack: Stack, *expected: tuple[str, str]) -> None:
    answer = stack.run("check --json")
    assert {(breach["invariant"], breach["subject"]) for breach in answer.json} == set(expected), answer
    assert answer.code == 1


def outcome(stack: Stack, name: str) -> str:
    answer = stack.run(f"instance evacuate {name} --json")
    assert answer.code in (0, 1), answer
    return answer.json["outcome"]


@pytest.mark.parametrize(("table", "statement", "expected"), ROWS.values(), ids=list(ROWS))
def test_check_names_in_the_store(stack: Stack, table: str, statement: str, expected: set[tuple[str, str]]):
    with changed_rows(stack, table, statement):
        assert_named(stack, *expected)


def test_check_names_two_residences_when_the_index_is_gone(stack: Stack):
    stack.sql("DROP INDEX uq_residence_unproven")
    with changed_rows(stack, "residence", RESIDENCE + NEWER.format(proof="NULL")):
        assert_named(stack, ("I1", "residence"), ("I1", "web-01"), ("I2", "web-01"))
    stack.sql("CREATE UNIQUE INDEX uq_residence_unproven ON residence (instance_id) WHERE proof IS NULL")


def test_check_names_a_second_copy(stack: Stack):
    with extra_guest(stack, "web-01", "cmp-3", epoch=9):
        assert_named(stack, ("I1", "web-01"), ("I2", "web-01"))


def test_check_sees_what_the_hosts_workers_tell_where_no_host_is_here(stack: Stack, tmp_path: Path):
    far = elsewhere(stack, tmp_path)
    answer = far.run("check --json")
    assert (answer.code, answer.json) == (0, []), answer
    with extra_guest(stack, "web-01", "cmp-3", epoch=9), paused(stack, "db-01"):
        answer = far.run("check --json")
    assert answer.code == 1, answer
    named = {(each["rule"], each["subject"]): each["message"] for each in answer.json}
    assert set(named) == {("copies", "web-01"), ("not-allowed", "web-01"), ("runs-otherwise", "db-01")}
    assert named["copies", "web-01"] == "2 copies run: cmp-1 (epoch 1), cmp-3 (epoch 9)"
    assert "was not seen" not in answer.err


def test_check_names_the_host_that_nobody_hears_from_where_no_host_is_here(stack: Stack, tmp_path: Path):
    worker = stack.worker("cmp-3")
    os.kill(worker, signal.SIGSTOP)
    try:
        answer = elsewhere(stack, tmp_path).run("check --json")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert (answer.code, answer.json) == (0, []), answer
    assert "not checked: cmp-3 was not seen: it does not answer" in answer.err
    assert "cmp-1 was not seen" not in answer.err


def elsewhere(stack: Stack, directory: Path) -> Stack:
    """The same fleet, for whoever has nothing of it on his machine."""
    with stack.as_environment():
        settings = settings_for()
    far = Stack(directory, None)
    far.environment = stack.environment | {
        "EVACUATE_STATE_DIR": str(directory / "state"),
        "EVACUATE_DATABASE_URL": settings.store_url,
        "EVACUATE_TEMPORAL_ADDRESS": str(settings.temporal_address),
        "EVACUATE_TEMPORAL_NAMESPACE": str(settings.temporal_namespace),
    }
    return far


def test_check_names_a_guest_that_nothing_allows(stack: Stack):
    with extra_guest(stack, "cold-01", "cmp-1", epoch=1):
        assert_named(stack, ("I2", "cold-01"))


def test_check_names_a_stopped_instance_that_runs(stack: Stack):
    with extra_guest(stack, "cold-01", "cmp-3", epoch=1):
        assert_named(stack, ("I3", "cold-01"))


def test_check_names_a_paused_guest(stack: Stack):
    with paused(stack, "web-01"):
        assert_named(stack, ("I3", "web-01"))


def test_check_names_a_guest_that_died_alone_until_its_host_boots_again(stack: Stack):
    os.kill(pid_of(guests_of(stack, "db-01")[0]), signal.SIGKILL)
    assert_named(stack, ("I3", "db-01"))
    power_cycle(stack, "cmp-3")


def test_guest_that_died_alone_is_started_where_it_was_as_check_says(stack: Stack):
    os.kill(pid_of(guests_of(stack, "db-01")[0]), signal.SIGKILL)
    assert_named(stack, ("I3", "db-01"))
    assert "evacuate instance start db-01" in stack.run("check").out
    answer = stack.run("instance start db-01 --json")
    assert (answer.code, answer.json["vm_state"], answer.json["power_state"]) == (0, "active", "running"), answer
    assert_sound(stack)
    again = stack.run("instance start db-01 --json")
    assert (again.code, again.json["epoch"]) == (0, answer.json["epoch"]), "one that runs is let be"


def test_stopped_instance_is_started_and_stopped_again(stack: Stack):
    for verb, state, power in (("start", "active", "running"), ("stop", "stopped", "shutdown")):
        answer = stack.run(f"instance {verb} cold-01 --json")
        assert (answer.code, answer.json["vm_state"], answer.json["power_state"]) == (0, state, power), answer
        assert_sound(stack)


def test_check_names_a_host_that_lives_behind_its_fence_until_its_power_is_cut(stack: Stack):
    os.kill(stack.worker("cmp-3"), signal.SIGSTOP)
    # A word is refused while the power reads on: this one was recorded when it could not be read.
    stack.sql(
        "INSERT INTO evidence (host, incarnation, kind, scope, who, reason, at) "
        "SELECT name, incarnation, 'operator', 'host', 'jo', 'said so', registered_at FROM host WHERE name = 'cmp-3'"
    )
    stack.sql("UPDATE host SET state = 'down' WHERE name = 'cmp-3'")
    assert_named(stack, ("I2", "cmp-3"))
    power_cycle(stack, "cmp-3")


def power_cycle(stack: Stack, host: str) -> None:
    """A host that is switched off, and one that boots, are no breach either."""
    assert stack.run(f"host kill {host}").code == 0
    assert_sound(stack)
    assert stack.run(f"host start {host} --no-wait").code == 0
    assert_sound(stack)
    answer = stack.run(f"host start {host}")
    assert answer.code == 0, answer
    stack.until(lambda: stack.world().boots[host] == incarnation(stack, host), f"{host} is up")


def incarnation(stack: Stack, name: str) -> str | None:
    return next(host.incarnation for host in stack.world().rows.hosts if (host.name, host.state) == (name, "up"))


def interleaved(lines: list[bytes]) -> list[bytes]:
    counter, _, _, *rest = lines[2].split()
    return [*lines[:2], b" ".join([counter, b"9", b"cmp-3", *rest]) + b"\n", *lines[3:]]


JOURNALS = {
    "lost": (lambda lines: [*lines[:2], *lines[3:]], "I7"),
    "cut off at its beginning": (lambda lines: lines[3:], "I7"),
    "interleaved": (interleaved, "I1"),
}


@pytest.mark.parametrize(("change", "invariant"), JOURNALS.values(), ids=list(JOURNALS))
def test_check_names_a_disk_whose_journal_is(stack: Stack, change: Any, invariant: str):
    stack.until(lambda: disk_of(stack, "web-01").read_bytes().count(b"\n") > 3, "web-01 has written")
    with changed_disk(stack, "web-01", change):
        assert_named(stack, (invariant, "web-01"))


def test_check_names_a_disk_that_is_gone(stack: Stack):
    disk = disk_of(stack, "web-01")
    disk.rename(disk.with_suffix(".moved"))
    assert_named(stack, ("I7", "web-01"))
    disk.with_suffix(".moved").rename(disk)


def test_nothing_is_made_in_place_of_a_disk_that_is_gone(stack: Stack):
    assert stack.run("host kill cmp-2").code == 0
    disk = disk_of(stack, "lost-01")
    kept, before = disk.rename(disk.with_suffix(".kept")), set(disk.parent.iterdir())
    answer = stack.run("instance evacuate lost-01 --json")
    assert (answer.code, answer.json["outcome"]) == (1, "not_recovered"), answer
    assert {each["host"] for each in answer.json["attempts"]} == {"cmp-1", "cmp-3"}
    assert all("the disk of lost-01 is not there" in each["reason"] for each in answer.json["attempts"])
    assert stack.run("instance show lost-01 --json").json["vm_state"] == "active"
    assert stack.run("host start cmp-2").code == 0
    assert set(disk.parent.iterdir()) == before
    assert_named(stack, ("I7", "lost-01"), ("I3", "lost-01"), ("I4", "lost-01"))
    kept.rename(disk)
    assert stack.run("host kill cmp-2").code == 0
    assert outcome(stack, "lost-01") == "recovered"


def test_check_says_in_a_table_what_it_names(stack: Stack):
    with changed_rows(stack, "allocation", ALLOCATION):
        answer = stack.run("check")
    assert answer.code == 1
    assert "I4" in answer.out and "nobody" in answer.out


def held_at(stack: Stack, name: str, step: str) -> None:
    """cmp-2 is dead, and the evacuation to cmp-3 does not get past that step until the fault is taken away. It does not
    fail there again and again, which would be named in its turn."""
    stack.set_faults([{"activity": step, "instance": name, "at": "before", "do": "hang"}])
    assert stack.run("host kill cmp-2").code == 0
    assert_sound(stack)
    assert stack.run(f"instance evacuate {name} --target cmp-3 --no-wait").code == 0
    stack.until_step(name, step)


def test_check_names_an_evacuation_without_workflow_until_it_is_adopted(stack: Stack):
    held_at(stack, "early-01", "authorize_spawn")
    assert_sound(stack)
    stack.terminate("early-01")
    assert_named(stack, ("I3", "early-01"))
    stack.set_faults([])
    assert outcome(stack, "early-01") == "recovered"


def test_check_names_a_start_that_nobody_takes_forward_and_a_cap_exceeded(stack: Stack):
    held_at(stack, "late-01", "finish_evacuation")
    assert_sound(stack)
    with lowered_cap(stack):
        # The held step may have been tried so often by now that it is named, too.
        found = {(breach["invariant"], breach["subject"]) for breach in stack.run("check --json").json}
        assert ("I5", "cmp-3") in found
    stack.terminate("late-01")
    assert_named(stack, ("I8", "late-01"))
    stack.set_faults([])
    assert outcome(stack, "late-01") == "recovered"


def lowered_cap(stack: Stack) -> AbstractContextManager[None]:
    return changed_rows(stack, "host", "UPDATE host SET max_evacuations = 0 WHERE name = 'cmp-3'")


def test_check_finds_nothing_after_a_failure_with_its_volume_reserved(stack: Stack):
    stack.set_faults([{"activity": "spawn_guest", "instance": "failed-01", "do": "fail"}])
    assert stack.run("host kill cmp-2").code == 0
    assert outcome(stack, "failed-01") == "not_recovered"
    volumes = {row["name"]: row["status"] for row in stack.run("volume list --json").json}
    assert volumes["data-2"] == "reserved"
    assert_sound(stack)


def test_check_finds_nothing_after_a_deletion_on_a_host_that_is_up(stack: Stack):
    assert stack.run("instance delete gone-01").code == 0


def test_check_names_a_deletion_without_workflow_until_it_is_asked_for_again(stack: Stack):
    stack.set_faults([{"activity": "record_deleted", "instance": "half-01", "at": "before", "do": "hang"}])
    deletion = stack.start(["instance", "delete", "half-01"])
    stack.until(lambda: not guests_of(stack, "half-01"), "its guest is destroyed")
    shown = stack.run("instance show half-01 --json").json
    assert (shown["vm_state"], shown["task_state"]) == ("active", "deleting")
    assert_sound(stack)
    stack.terminate("half-01", workflow=delete_instance_id)
    answer = deletion.wait()
    assert answer.code == 1 and "Traceback" not in answer.err, answer
    assert_named(stack, ("I3", "half-01"))
    stack.set_faults([])
    assert stack.run("instance delete half-01").code == 0


def test_check_finds_nothing_after_a_deletion_on_a_dead_host(stack: Stack):
    assert stack.run("host kill cmp-2").code == 0
    assert stack.run("instance delete gone-02").code == 0
    assert_sound(stack)
