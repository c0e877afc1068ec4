"""An operator's word that a host is off."""

from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client

from embedded.state import StateDir, settings_for
from evacuation.messages import HostRef, HostReport
from evacuation.model import EvidenceKind
from services.sql import SqlServices, open_services
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
    services.hosts.complete_return(HostRef(host=HOST, incarnation=incarnation))
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

    monkeypatch.setattr("cli.power.connect", connect)


def answer_nothing(monkeypatch: pytest.MonkeyPatch, *, but_boot: str | None = None) -> None:
    """Nobody answers for the host; it may boot just then."""

    async def ask_host(_: Client, host: str) -> None:
        assert host == HOST
        if but_boot:
            boot(but_boot)

    monkeypatch.setattr("cli.power.ask_host", ask_host)


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
