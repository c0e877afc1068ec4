"""`evacuate host preflight`, on a store whose hosts' workers never came."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from control import power_checks
from embedded.state import StateDir
from evacuation.capabilities import HostCapabilities, PutOff
from evacuation.messages import HostReport, HypervisorReport, ProbeRequest, ReturnedHost
from evacuation.model import PowerReading
from evacuation.power_check import PowerCheck
from services.runtime.stack_record import settings_for
from services.sql import open_services
from tests.cli.conftest import Command, called


def bring_up(store) -> None:
    services = open_services(f"sqlite:///{store.store}")
    for host in services.views.hosts():
        report = HostReport(
            host=host.name, hypervisor_uuid=host.name, machine_id="machine", incarnation="boot-1", guests=()
        )
        services.hosts.register(report)
        services.hosts.complete_return(ReturnedHost(host=host.name, incarnation="boot-1"))
    services.close()


def test_preflight_names_every_destination_and_why_it_will_not_do(evacuate: Command, store) -> None:
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 1
    for each in json.loads(answer.out):
        assert list(each) == ["instance_id", "name", "can", "reasons", "destinations", "notes", "power", "host_notes"]
        assert (each["can"], each["destinations"]) == (False, [])
        assert each["reasons"] and all(reason.endswith(": down") for reason in each["reasons"])


def test_preflight_ends_well_when_every_instance_would_come_back(evacuate: Command, store) -> None:
    bring_up(store)
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 0, answer.err
    assert all(each["can"] and each["destinations"] and not each["reasons"] for each in json.loads(answer.out))
    assert all(each["power"] is None for each in json.loads(answer.out))
    assert "the power of hosts was not read: Temporal does not answer" in answer.err
    table = evacuate("host", "preflight", "cmp-1")
    assert table.code == 0 and "yes" in table.out and "would come back" in table.err


def test_preflight_of_an_unknown_host_is_refused(evacuate: Command, store) -> None:
    answer = evacuate("host", "preflight", "nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no host" in answer.err


def _checks(monkeypatch: pytest.MonkeyPatch, **those: dict[str, object]) -> None:
    """As a control worker finds it: every host of the store answers and reads on, but for those."""

    async def ask(_: object, hosts: Sequence[ProbeRequest]) -> tuple[PowerCheck, ...]:
        usual = {"driver": "redfish", "answers": True, "power": PowerReading.ON, "problem": None, "notes": ()}
        found = [{"host": each.host} | usual | those.get(each.host.replace("-", "_"), {}) for each in hosts]
        return tuple(PowerCheck.model_validate(each) for each in found)

    monkeypatch.setattr("control.power_checks.check_power", ask)


def test_preflight_says_that_every_host_that_answers_reads_on(
    evacuate: Command, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(store)
    _checks(monkeypatch, cmp_3={"answers": False, "power": PowerReading.OFF})
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 0 and "hosts that answer read on" in answer.err and "cmp-3" not in answer.err, answer
    for each in json.loads(answer.out):
        assert each["power"] == [
            {"host": "cmp-1", "driver": "redfish", "answers": True, "power": "on", "problem": None, "notes": []}
        ]


def test_preflight_fails_where_the_hosts_own_power_is_another_machines(
    evacuate: Command, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every instance would find a place, and the fence before that would fail."""
    bring_up(store)
    problem = "the BMC of cmp-1 switches another machine"
    _checks(monkeypatch, cmp_1={"power": PowerReading.UNKNOWN, "problem": problem})
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 1 and problem in answer.err
    assert all(each["can"] and each["power"][0]["problem"] == problem for each in json.loads(answer.out))


def test_preflight_names_other_hosts_with_a_problem_after_its_own(
    evacuate: Command, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(store)
    problem = "the power of cmp-2 reads off while its worker answers"
    _checks(monkeypatch, cmp_2={"power": PowerReading.OFF, "problem": problem})
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 0 and problem in answer.err
    assert all([at["host"] for at in each["power"]] == ["cmp-1", "cmp-2"] for each in json.loads(answer.out))
    assert evacuate("host", "preflight", "cmp-2").code == 1


def test_preflight_tells_what_nothing_shows_to_be_right(
    evacuate: Command, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(store)
    doubt = "the BMC of cmp-1 does not say which machine it is"
    _checks(monkeypatch, cmp_1={"notes": (doubt,)}, cmp_3={"notes": ("another doubt",)})
    answer = evacuate("host", "preflight", "cmp-1")
    assert answer.code == 0 and doubt in answer.err
    assert "not shown to be right for 1 other host either: cmp-3" in answer.err


def test_preflight_answers_from_the_store_when_no_control_worker_does(
    unserved: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.asking.PROBE_TIMEOUT", timedelta(seconds=0.5))
    bring_up(unserved)
    answer = called("host", "preflight", "cmp-1", "--json")
    assert answer.code == 0 and "the power of hosts was not read: no control worker answers" in answer.err, answer
    assert all(each["can"] and each["power"] is None for each in answer.json)


def test_hosts_of_a_large_fleet_are_asked_a_page_at_a_time(state, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[int] = []

    async def nothing(*_: object) -> None:
        pass

    async def page(_: object, __: object, hosts: Sequence[ProbeRequest]) -> tuple[PowerCheck, ...]:
        pages.append(len(hosts))
        usual = {"driver": "redfish", "answers": True, "power": PowerReading.ON, "problem": None, "notes": ()}
        return tuple(PowerCheck.model_validate({"host": each.host} | usual) for each in hosts)

    for name, stand_in in (("connect", nothing), ("_require_control", nothing), ("_ask", page)):
        monkeypatch.setattr(power_checks, name, stand_in)
    hosts = [ProbeRequest(host=f"cmp-{number}", hypervisor_uuid=None) for number in range(70)]
    found = asyncio.run(power_checks.check_power(settings_for(), hosts))
    assert [each.host for each in found] == [each.host for each in hosts] and pages == [32, 32, 6]


def test_preflight_and_show_tell_what_would_start_guests_of_a_host_on_another_account(
    evacuate: Command, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(store)
    services = open_services(f"sqlite:///{store.store}")
    said = HostCapabilities(held=False, autostarts=(PutOff(id="x", name="vm-1", at=datetime(2026, 1, 1, tzinfo=UTC)),))
    report = HypervisorReport(
        host="cmp-1", incarnation="boot-1", at=datetime(2026, 1, 1, tzinfo=UTC), capabilities=said, guests=()
    )
    services.hosts.record_report(report)
    services.close()
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 0
    assert "autostart of vm-1 was on" in answer.err and "evacuate-hold.service is not enabled" in answer.err
    assert all(len(each["host_notes"]) == 2 for each in json.loads(answer.out))
    shown = evacuate("host", "show", "cmp-1", "--json")
    assert [line.split()[0] for line in json.loads(shown.out)["notes"]] == ["evacuate-hold.service", "autostart"]
    assert "autostart of vm-1 was on" in " ".join(evacuate("host", "show", "cmp-1").out.split())
