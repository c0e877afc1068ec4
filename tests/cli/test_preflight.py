"""`evacuate host preflight`, on a store whose hosts' workers never came."""

import json

from evacuation.messages import HostRef, HostReport
from services.sql import open_services
from tests.cli.conftest import Command


def _bring_up(store) -> None:
    services = open_services(f"sqlite:///{store.store}")
    for host in services.views.hosts():
        report = HostReport(
            host=host.name, hypervisor_uuid=host.name, machine_id="machine", incarnation="boot-1", guests=()
        )
        services.hosts.register(report)
        services.hosts.complete_return(HostRef(host=host.name, incarnation="boot-1"))
    services.close()


def test_preflight_names_every_destination_and_why_it_will_not_do(evacuate: Command, store) -> None:
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 1
    for each in json.loads(answer.out):
        assert list(each) == ["instance_id", "name", "can", "reasons", "destinations"]
        assert (each["can"], each["destinations"]) == (False, [])
        assert each["reasons"] and all(reason.endswith(": down") for reason in each["reasons"])


def test_preflight_ends_well_when_every_instance_would_come_back(evacuate: Command, store) -> None:
    _bring_up(store)
    answer = evacuate("host", "preflight", "cmp-1", "--json")
    assert answer.code == 0, answer.err
    assert all(each["can"] and each["destinations"] and not each["reasons"] for each in json.loads(answer.out))
    table = evacuate("host", "preflight", "cmp-1")
    assert table.code == 0 and "yes" in table.out and "would come back" in table.err


def test_preflight_of_an_unknown_host_is_refused(evacuate: Command, store) -> None:
    answer = evacuate("host", "preflight", "nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no host" in answer.err
