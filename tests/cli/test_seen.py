"""What is known of hosts that nobody has heard of for a while is told, also before anybody evacuates them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded.state import StateDir
from evacuation import silence
from services.runtime import polls
from services.runtime.stack_record import settings_for
from tests.cli.conftest import Command, called
from tests.cli.test_preflight import bring_up
from tests.cli.test_stack import stack_in

pytestmark = pytest.mark.timeout(180)
READS = (("host", "list"), ("host", "show", "cmp-1"), ("instance", "list"), ("instance", "show", "web-01"))


def rows(*words: str) -> list[dict[str, Any]]:
    answer = called(*words, "--json")
    assert answer.code == 0, answer
    found = answer.json
    return found if isinstance(found, list) else [found]


def test_dead_host_is_told_as_silent_and_its_guests_with_a_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stack_in(tmp_path / "state"):
        began = datetime.now(UTC)
        for host in rows("host", "list"):
            assert host["silent"] is False
            assert began - timedelta(seconds=90) < datetime.fromisoformat(host["last_seen"]) <= datetime.now(UTC)
        guests = {each["name"]: each for each in rows("instance", "list")}
        assert {each["host_silent"] for each in guests.values()} == {False}
        assert called("host", "kill", "cmp-1").code == 0
        at = rows("host", "show", "cmp-1")[0]["last_seen"]
        assert asyncio.run(polls.last_polls(settings_for(), ["host.nowhere.probe"])) == {"host.nowhere.probe": None}

        monkeypatch.setattr(silence, "SILENT_AFTER", timedelta(0))
        time.sleep(0.1)
        listed = called("host", "list")
        assert "up (silent)" in listed.out and "cmp-1: silent since" in listed.err, listed
        assert {row["name"]: row["state"] for row in rows("host", "list")}["cmp-1"] == "up"
        (shown,) = rows("host", "show", "cmp-1")
        assert (shown["silent"], shown["last_seen"]) == (True, at)
        there = next(each["name"] for each in guests.values() if each["host"] == "cmp-1")
        told = called("instance", "list")
        assert "running?" in told.out and there in told.err, told
        (guest,) = rows("instance", "show", there)
        assert (guest["power_state"], guest["host_silent"]) == ("running", True)

        assert called("host", "down", "cmp-1", "--confirmed-off", "killed it").code == 0
        (down,) = rows("host", "show", "cmp-1")
        assert (down["state"], down["silent"], down["last_seen"]) == ("down", None, None)


def test_hosts_and_guests_are_listed_as_the_store_has_them_while_nobody_can_be_asked(
    evacuate: Command, store: StateDir
) -> None:
    bring_up(store)
    for words in READS:
        answer = evacuate(*words, "--json")
        assert answer.code == 0 and "not asked when hosts were seen last: Temporal does not answer" in answer.err, (
            answer
        )
        for row in answer.json if isinstance(answer.json, list) else [answer.json]:
            said = {name: value for name, value in row.items() if "last_seen" in name or "silent" in name}
            assert len(said) == 2 and set(said.values()) == {None}, row


def test_host_that_temporal_remembers_nothing_of_is_silent(unserved: StateDir) -> None:
    bring_up(unserved)
    for host in rows("host", "list"):
        assert (host["state"], host["silent"], host["last_seen"]) == ("up", True, None)
    told = called("host", "list").err
    assert "cmp-1: silent for longer than Temporal remembers: start its worker" in told


def test_looks_that_take_too_long_are_left_out_and_that_is_said(
    unserved: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(unserved)
    called("host", "list")
    monkeypatch.setattr(polls, "AT_ONCE", 0)
    monkeypatch.setattr(polls, "LONGEST", 0.3)
    listed = called("host", "list", "--json")
    assert listed.code == 0 and "not asked in time when 4 of 4 hosts were seen last" in listed.err, listed
    assert {(row["state"], row["silent"]) for row in listed.json} == {("up", None)}
