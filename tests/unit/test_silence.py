"""What is known of a host whose worker has not been heard for long, and of its guests."""

from datetime import UTC, datetime, timedelta

import pytest

from evacuation.remarks import remarks
from evacuation.silence import Heard, guest_line, guest_seen, host_line, seen, silences
from evacuation.views import HostView, InstanceView

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)


def host(state: str = "up") -> HostView:
    sizes = dict.fromkeys(("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "disk_gb", "disk_gb_used"), 1)
    return HostView(
        name="cmp-1",
        state=state,
        enabled=True,
        fenced=False,
        availability_zone="az1",
        traits=(),
        incarnation="boot-1",
        hypervisor_uuid="uuid-1",
        **sizes,
    )


def guest(name: str = "web-01", power_state: str = "running") -> InstanceView:
    return InstanceView(
        id=name,
        name=name,
        host="cmp-1",
        vm_state="active",
        task_state=None,
        power_state=power_state,
        fault=None,
        priority=3,
        project="acme",
        evacuate=True,
        server_group=None,
        epoch=1,
    )


def ago(seconds: float) -> Heard:
    return {"cmp-1": NOW - timedelta(seconds=seconds)}


@pytest.mark.parametrize(
    ("heard", "silent", "shown", "power"),
    [
        (ago(1), False, "up", "running"),
        (ago(90), False, "up", "running"),
        (ago(91), True, "up (silent)", "running?"),
        ({"cmp-1": None}, True, "up (silent)", "running?"),
        ({}, None, "up", "running"),
    ],
    ids=["now", "a while ago", "long ago", "forgotten", "nobody could be asked"],
)
def test_host_that_was_not_heard_for_long_is_told_as_silent_and_its_guests_with_a_doubt(
    heard: Heard, silent: bool | None, shown: str, power: str
) -> None:
    found, there = seen(host(), heard, NOW), guest_seen(guest(), heard, NOW)
    assert (found.silent, found.last_seen, found.state) == (silent, heard.get("cmp-1"), "up")
    assert (there.host_silent, there.host_last_seen, there.power_state) == (silent, heard.get("cmp-1"), "running")
    assert (host_line(found).state, guest_line(there).power_state) == (shown, power)
    assert bool(list(remarks(found))) is bool(silent)


def test_host_that_is_down_is_not_called_silent() -> None:
    assert seen(host("down"), ago(1000), NOW) == host("down")


def test_guest_that_runs_nowhere_is_in_no_doubt() -> None:
    assert guest_line(guest_seen(guest(power_state="nostate"), ago(1000), NOW)).power_state == "nostate"


def test_guests_of_a_silent_host_are_named_in_one_line() -> None:
    many = [guest_seen(guest(f"web-{number}"), ago(240), NOW) for number in range(7)]
    (line,) = silences([*many, guest("elsewhere")])
    assert line == (
        "cmp-1: silent since 2026-12-01 02:56:00 UTC: nobody knows whether its guests run: "
        "web-0, web-1, web-2, web-3, web-4 …"
    )
