"""A person accepts another board as a host: who is asked about, what is refused, and what is told of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedded.state import StateDir
from evacuation.errors import HostFailingError, HostIdentityError
from evacuation.messages import AcceptIdentity, HostReport, ReturnedHost
from services.runtime.stack_record import settings_for
from services.sql import SqlServices, open_services
from tests.cli.conftest import Command
from tests.cli.test_power import Temporal
from tests.cli.test_questions import at_a_terminal

HOST = "cmp-1"
WORD = "Jo swapped the board"
ACCEPT = ("host", "accept", HOST, "--confirmed-gone", WORD)
YES = (*ACCEPT, "--yes")


def report(uuid: str = "old", boot: str = "boot-1") -> HostReport:
    return HostReport(host=HOST, hypervisor_uuid=uuid, machine_id="machine", incarnation=boot, guests=())


NEW = report("new", "new-1")


@pytest.fixture
def services(store: StateDir) -> Iterator[SqlServices]:
    """The host is up, as the old board."""
    services = open_services(settings_for().store_url)
    come_back(services, report())
    yield services
    services.close()


def come_back(services: SqlServices, found: HostReport) -> None:
    services.hosts.register(found)
    services.hosts.complete_return(ReturnedHost(host=HOST, incarnation=found.incarnation))


def refuse(services: SqlServices, found: HostReport = NEW) -> None:
    with pytest.raises(HostIdentityError):
        services.hosts.register(found)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Temporal]:
    """What the host's own workers say, one after the other; and the control worker does as it is asked."""
    temporal = Temporal()

    def says(*reports: HostReport | HostFailingError | None) -> Temporal:
        left = list(reports)

        async def ask_host(_: object, host: str) -> HostReport | None:
            assert host == HOST
            said = left.pop(0) if left else reports[-1]
            if isinstance(said, HostFailingError):
                raise said
            return said

        monkeypatch.setattr("control.accepting.ask_host", ask_host)
        return temporal

    async def connect(_: object) -> Any:
        return temporal

    async def take_word(_: object, request: AcceptIdentity) -> None:
        services = open_services(settings_for().store_url)
        try:
            services.evidence.accept(request)
        finally:
            services.close()

    for module in ("control.accepting", "control.words"):
        monkeypatch.setattr(f"{module}.connect", connect)
    monkeypatch.setattr("control.accepting.take_word", take_word)
    return says


def test_board_that_answers_is_accepted_and_who_waits_is_told(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal]
) -> None:
    temporal = answers(NEW)
    answer = evacuate(*YES, "--json")
    assert answer.code == 0 and answer.err.startswith("accepted: cmp-1 is hypervisor new on machine machine"), answer
    said = answer.json
    assert (said["hypervisor_uuid"], said["state"], said["fenced"]) == ("new", "down", True)
    assert [(each["hypervisor_uuid"], each["said"]) for each in said["replaced"]] == [("old", WORD)]
    assert temporal.signalled > 0
    listed = evacuate("host", "list")
    assert "cmp-1: waits for hypervisor new" in listed.err, listed
    come_back(services, NEW)
    assert "waits for" not in evacuate("host", "list").err and services.views.host(HOST).state == "up"


def test_board_that_was_refused_last_is_accepted_where_nobody_answers(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal]
) -> None:
    refuse(services)
    for words in (("host", "list"), ("host", "show", HOST)):
        told = evacuate(*words).err
        assert f"{HOST}: refused at " in told and "hypervisor new" in told and f"evacuate host accept {HOST}" in told
    assert evacuate("host", "show", HOST, "--json").json["refused"]["incarnation"] == "new-1"
    answers(None)
    assert evacuate(*YES).code == 0
    come_back(services, NEW)


def test_whoever_comes_next_is_accepted_where_nobody_was_seen(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal]
) -> None:
    answers(None)
    answer = evacuate(*YES)
    assert answer.code == 0 and "whoever registers next" in answer.err, answer
    assert "waits for another board" in evacuate("host", "show", HOST).err
    assert evacuate(*YES).code == 0, "twice"
    refuse(services, report("old", "boot-2"))
    come_back(services, NEW)


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_host_that_answers_as_the_store_knows_it_is_not_accepted_anew(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal], boot: str
) -> None:
    answers(report(boot=boot))
    answer = evacuate(*YES)
    assert answer.code == 2 and "nothing to accept" in answer.err, answer
    assert services.views.host(HOST).replaced == ()


def test_old_board_that_answers_beside_the_new_one_is_noticed(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal]
) -> None:
    answers(NEW, NEW, report())
    assert evacuate(*YES).code == 2
    assert services.views.host(HOST).replaced == ()


def test_host_that_answers_with_an_error_is_not_accepted(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal]
) -> None:
    answers(HostFailingError(f"{HOST} answers with an error (HypervisorUnavailableError: libvirtd is dead)"))
    answer = evacuate(*YES)
    assert answer.code == 2 and "libvirtd is dead" in answer.err, answer


def test_board_before_that_was_found_again_is_said_to_be_gone_once_more(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal]
) -> None:
    answers(NEW)
    assert evacuate(*YES).code == 0
    come_back(services, NEW)
    refuse(services, report())
    told = evacuate("host", "list").err
    assert "was heard of" in told and "its guests may run twice" in told, told
    again = evacuate("host", "accept", HOST, "--confirmed-gone", "pulled it", "--yes")
    assert again.code == 0 and "what cmp-1 was before is gone" in again.err, again
    shown = services.views.host(HOST)
    assert (shown.hypervisor_uuid, shown.state, shown.replaced[0].said) == ("new", "up", "pulled it")


@pytest.mark.parametrize("word", ["", "   ", "x" * 501, "a\x00b"], ids=["empty", "blank", "too long", "no text"])
def test_word_that_says_nothing_or_too_much_is_refused(services: SqlServices, evacuate: Command, word: str) -> None:
    answer = evacuate("host", "accept", HOST, "--confirmed-gone", word, "--yes")
    assert (answer.code, "--confirmed-gone" in answer.err) == (2, True), answer


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("host", "accept", HOST, "--yes"), "--confirmed-gone"),
        (("host", "accept", "cmp-99", "--confirmed-gone", WORD, "--yes"), "cmp-99"),
        (("host", "accept", "no name", "--confirmed-gone", WORD, "--yes"), "no name"),
        (("host", "accept", "cmp-2", "--confirmed-gone", WORD, "--yes"), "never come back"),
    ],
    ids=["no word", "unknown host", "no name", "never came"],
)
def test_what_cannot_be_accepted_is_refused(
    services: SqlServices, evacuate: Command, words: tuple[str, ...], says: str
) -> None:
    answer = evacuate(*words)
    assert (answer.code, says in answer.err) == (2, True), answer


def test_without_a_terminal_it_names_the_guests_and_needs_a_yes(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal]
) -> None:
    answers(NEW)
    answer = evacuate(*ACCEPT)
    names = [each.name for each in services.views.instances() if each.host == HOST]
    assert answer.code == 2 and "--yes" in answer.err and names, answer
    assert all(name in answer.err for name in [*names, "hypervisor new", "hypervisor old"]), answer
    assert services.views.host(HOST).replaced == ()


def test_accepting_without_temporal_ends_with_three(services: SqlServices) -> None:
    """Who answers is asked before the person is."""
    code, told = at_a_terminal(*ACCEPT, says="y\n")
    assert (code, "Temporal does not answer" in told) == (3, True), told


def test_word_that_the_host_is_off_is_refused_with_the_way_to_accept_the_board_that_answers(
    services: SqlServices, evacuate: Command, answers: Callable[..., Temporal], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(None)

    async def ask_host(_: object, host: str, *, doubted: bool) -> HostReport:
        return NEW

    monkeypatch.setattr("control.words.ask_host", ask_host)
    answer = evacuate("host", "down", HOST, "--confirmed-off", "seen")
    assert answer.code == 2 and f"evacuate host accept {HOST}" in answer.err and "hypervisor new" in answer.err, answer
