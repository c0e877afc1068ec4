"""A store that was restored from a backup, and one that belongs to another control plane, on the whole stack."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from embedded.processes import end_all, with_role
from tests.support.stack import PATIENCE, Stack, plain

FLAVOR = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}
HOST = {"vcpus": 8, "memory_mb": 8192, "disk_gb": 100}
FLEET = {
    "hosts": [{"name": f"cmp-{number}"} | HOST for number in (1, 2, 3)],
    "instances": [{"name": "web-01", "host": "cmp-1", "flavor": FLAVOR}],
}


def _state(stack: Stack) -> Path:
    return Path(stack.environment["EVACUATE_STATE_DIR"])


def _back_up(stack: Stack, to: Path) -> None:
    with closing(sqlite3.connect(_state(stack) / "state.db")) as live, closing(sqlite3.connect(to)) as copy:
        live.backup(copy)


def _restore(stack: Stack, backup: Path) -> None:
    """As docs/backup.md says: nothing that writes runs meanwhile. The guests do."""
    for role in ("supervisor", "control"):
        end_all(lambda role=role: with_role(_state(stack), role), grace=0, timeout=PATIENCE)
    for left in _state(stack).glob("state.db-*"):
        left.unlink()
    shutil.copy(backup, _state(stack) / "state.db")


def _guests(stack: Stack) -> list[tuple[str, int]]:
    return [(guest.host, guest.epoch) for guest in stack.world().guests]


def test_restored_store_starts_no_second_copy_and_goes_on_once_it_is_reconciled(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    it = stack(FLEET)
    _back_up(it, tmp_path / "backup.db")
    assert it.run("host kill cmp-1").code == 0
    assert it.run("instance evacuate web-01 --target cmp-2").code == 0
    assert _guests(it) == [("cmp-2", 2)]

    _restore(it, tmp_path / "backup.db")
    # Whether it is told by then or a moment later: the hosts, as the backup has them, are up already.
    assert it.run("up --detach").code in (0, 2)
    refused = it.run("instance evacuate web-01 --target cmp-3")
    assert (refused.code, "evacuate store reconcile" in plain(refused.err)) == (2, True), refused
    assert _guests(it) == [("cmp-2", 2)]

    done = it.run("store reconcile --json")
    assert done.code == 0, done
    assert [(each["instance"], each["destination"]) for each in done.json["moved"]] == [("web-01", "cmp-2")]
    assert done.json["not_asked"] == ["cmp-1"]
    it.until(lambda: it.run("check").code == 0, "no invariant is broken")
    assert _guests(it) == [("cmp-2", 2)]

    assert it.run("host kill cmp-2").code == 0
    again = it.run("instance evacuate web-01 --json")
    assert (again.code, again.json["destination"]) == (0, "cmp-3"), again
    [(host, epoch)] = _guests(it)
    assert (host, epoch > 2) == ("cmp-3", True), again
    assert it.run("check").code == 0


def test_hosts_that_booted_before_the_reconciliation_start_their_guests_after_it(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    it = stack(FLEET)
    _back_up(it, tmp_path / "backup.db")
    assert it.run("down").code == 0
    assert it.run("up --detach").code == 0
    assert it.run("down").code == 0
    _restore(it, tmp_path / "backup.db")
    refused = it.run("up --detach")
    assert (refused.code, "evacuate store reconcile" in plain(refused.err)) == (2, True), refused
    assert it.run("store reconcile").code == 0
    it.until(lambda: it.run("check").code == 0, "no invariant is broken")
    assert [host for host, _ in _guests(it)] == ["cmp-1"]


def test_store_of_another_control_plane_is_refused_until_it_is_claimed(stack: Callable[..., Stack]) -> None:
    it = stack(FLEET)
    assert it.run("down").code == 0
    it.sql("UPDATE ledger SET owner = 'somebody'")
    resumed = it.run("up --detach")
    told = plain(resumed.err)
    assert (resumed.code, "somebody" in told, "evacuate store claim" in told) == (2, True, True), resumed
    assert it.run("host kill cmp-1").code == 0
    refused = it.run("instance evacuate web-01")
    assert (refused.code, "evacuate store claim" in plain(refused.err)) == (2, True), refused
    word = it.run(["host", "down", "cmp-1", "--confirmed-off", "unplugged"])
    assert (word.code, "evacuate store claim" in plain(word.err)) == (2, True), word
    unasked = it.run("store claim")
    assert (unasked.code, "somebody" in plain(unasked.err)) == (2, True), unasked
    claimed = it.run("store claim --yes")
    assert (claimed.code, "3 hosts, 1 instances" in plain(claimed.err)) == (0, True), claimed
    assert it.run("instance evacuate web-01").code == 0
    assert it.run("check").code == 0
