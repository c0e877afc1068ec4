"""An operator's word that a host is off."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.fencing import FencingActivities
from embedded.state import StateDir
from evacuation.errors import HostFailingError
from evacuation.messages import FenceRequest, HostReport, ReturnedHost
from evacuation.model import EvidenceKind
from services.fencing import ProcessFencing
from services.hypervisors.process import ProcessHost
from services.runtime.stack_record import settings_for
from services.sql import SqlServices, open_services
from services.sql.ledger.witnesses import Witnesses
from tests.cli.conftest import Command
from tests.cli.interference import silence

HOST = "cmp-1"
DOWN = ("host", "down", HOST, "--confirmed-off", "Jo pulled the plug")


def boot(incarnation: str) -> None:
    """The host registers and serves."""
    services = open_services(settings_for().store_url)
    services.hosts.register(
        HostReport(host=HOST, hypervisor_uuid=HOST, machine_id="machine", incarnation=incarnation, guests=())
    )
    services.hosts.complete_return(ReturnedHost(host=HOST, incarnation=incarnation))
    services.close()


class Temporal:
    """A client that signals go to."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent, self.signalled = silent, 0

    def get_workflow_handle(self, _: str) -> "Temporal":
        return self

    async def signal(self, _: str) -> None:
        self.signalled += 1
        if self.silent:
            await silence()


def reach(monkeypatch: pytest.MonkeyPatch, temporal: Temporal) -> None:
    async def connect(_: object) -> Any:
        return temporal

    monkeypatch.setattr("control.words.connect", connect)
    monkeypatch.setattr("control.words.prove", prove)


async def prove(_: object, request: FenceRequest) -> None:
    """As a control worker does whose driver is the embedded stack's."""
    services = open_services(settings_for().store_url)
    services.database.serve("this control plane", Witnesses())
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, start_to_close_timeout=timedelta(minutes=1))
    activities = FencingActivities(services.evidence, ProcessFencing(settings_for().state_dir))
    try:
        environment.run(activities.cut_power if request.statement is None else activities.take_word, request)
    finally:
        services.close()


def answer_nothing(monkeypatch: pytest.MonkeyPatch, *, but_boot: str | None = None) -> None:
    """Nobody answers for the host; it may boot just then."""

    async def ask_host(_: Client, host: str, *, doubted: bool) -> None:
        assert host == HOST
        if but_boot:
            boot(but_boot)

    monkeypatch.setattr("control.words.ask_host", ask_host)


def word_about(services: SqlServices, incarnation: str) -> bool:
    found = services.evidence.current_evidence(HOST, incarnation)
    return found is not None and found.kind is EvidenceKind.OPERATOR


@pytest.fixture
def services(store: StateDir) -> Iterator[SqlServices]:
    """The host is up."""
    boot("boot-1")
    services = open_services(settings_for().store_url)
    yield services
    services.close()


def state(services: SqlServices) -> str:
    return next(each.state for each in services.views.hosts() if each.name == HOST)


def test_word_is_about_the_boot_that_was_asked(
    services: SqlServices, evacuate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporal = Temporal()
    reach(monkeypatch, temporal)
    answer_nothing(monkeypatch)
    answer = evacuate(*DOWN)
    assert (answer.code, answer.err) == (0, f"recorded: {HOST} is down, by your word\n")
    assert word_about(services, "boot-1") and state(services) == "down"
    assert temporal.signalled > 0


def test_word_is_not_about_a_boot_that_came_up_while_the_host_was_asked(
    services: SqlServices, evacuate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, Temporal())
    answer_nothing(monkeypatch, but_boot="boot-2")
    answer = evacuate(*DOWN)
    assert services.evidence.current_evidence(HOST, "boot-2") is None and state(services) == "up"
    assert word_about(services, "boot-1")
    assert answer.code == 0 and "has come up meanwhile" in answer.err, answer


def test_word_is_recorded_though_temporal_falls_silent_before_anybody_is_told(
    services: SqlServices, evacuate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporal = Temporal(silent=True)
    reach(monkeypatch, temporal)
    answer_nothing(monkeypatch)
    answer = evacuate(*DOWN)
    assert answer.code == 0 and "look again by themselves" in answer.err, answer
    assert word_about(services, "boot-1") and temporal.signalled == 1


def test_word_is_refused_while_the_power_reads_on_and_what_was_said_before_is_void(
    services: SqlServices, evacuate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, Temporal())
    answer_nothing(monkeypatch)
    assert evacuate(*DOWN).code == 0 and word_about(services, "boot-1")
    ProcessHost(settings_for().state_dir, HOST).power_on()
    answer = evacuate(*DOWN)
    assert answer.code == 2 and f"evacuate host down {HOST} --power-off" in answer.err, answer
    assert services.evidence.current_evidence(HOST, "boot-1") is None


@pytest.mark.parametrize("incarnation", [None, "boot-1"])
def test_word_is_refused_where_the_host_answers_with_an_error(
    services: SqlServices, evacuate: Command, monkeypatch: pytest.MonkeyPatch, incarnation: str | None
) -> None:
    """The error that says which boot it is of voids what was said of that boot; the other voids nothing."""
    reach(monkeypatch, Temporal())
    answer_nothing(monkeypatch)
    assert evacuate(*DOWN).code == 0

    async def failing(_: Client, host: str, *, doubted: bool) -> None:
        assert doubted
        error = HostFailingError(f"{host} answers with an error (HypervisorUnavailableError: libvirtd is dead)")
        error.incarnation = incarnation
        raise error

    monkeypatch.setattr("control.words.ask_host", failing)
    answer = evacuate(*DOWN)
    assert answer.code == 2 and "libvirtd is dead" in answer.err and "stop the worker" in answer.err, answer
    assert word_about(services, "boot-1") is (incarnation is None)


def test_power_off_names_the_guests_that_it_would_stop_and_needs_a_yes(
    services: SqlServices, evacuate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, Temporal())
    answer_nothing(monkeypatch)
    power = ProcessHost(settings_for().state_dir, HOST)
    power.power_on()
    refused = evacuate("host", "down", HOST, "--power-off")
    names = [each.name for each in services.views.instances() if each.host == HOST]
    assert refused.code == 2 and "--yes" in refused.err and names, refused
    assert all(name in refused.err for name in names) and not power.is_off()
    answer = evacuate("host", "down", HOST, "--power-off", "--yes", "--json")
    assert answer.code == 0 and answer.json["fenced"] is True and answer.json["name"] == HOST, answer
    assert power.is_off() and state(services) == "down"


@pytest.mark.parametrize("options", [(), ("--power-off", "--confirmed-off", "seen")])
def test_host_is_down_by_a_word_or_by_its_power(
    services: SqlServices, evacuate: Command, options: tuple[str, ...]
) -> None:
    answer = evacuate("host", "down", HOST, *options)
    assert answer.code == 2 and "--power-off" in answer.err, answer
