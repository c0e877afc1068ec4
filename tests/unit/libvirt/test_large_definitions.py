"""One guest's definition is too large, or nobody can read it: that guest is named, and no other is kept back for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.service import RPCError, RPCStatusCode

from evacuation.adoption import AdoptedInstance
from evacuation.capabilities import HostCapabilities
from evacuation.errors import NotAdoptableError
from evacuation.messages import HypervisorReport
from evacuation.sizes import DEFINITION_LIMIT
from services.definitions.libvirt.metadata import mark_text
from services.hypervisors.libvirt.adoptable import adopted_host
from services.hypervisors.libvirt.capabilities import capabilities_of
from services.hypervisors.libvirt.report import MOST, guests_of
from services.hypervisors.libvirt.survey import Survey, SurveyedDomain
from services.runtime.settings import Settings
from services.runtime.temporal import DATA_CONVERTER
from tests.unit.libvirt.world import INSTANCE, STORED
from tests.unit.test_report_news import NOW, report
from tests.unit.test_sizes import SERVER_LIMIT
from workers.report import PART_GUESTS, LeftOut, News, _is_told

DOMAINS = Path(__file__).parent.parent / "domains"


def domain(number: int, size: int | None = None, *, name: str = "", text: str = STORED) -> SurveyedDomain:
    """Its definition is of that many bytes."""
    id, name = f"{INSTANCE[:-4]}{number:04}", name or f"vm-{number:02}"
    definition = text.replace(INSTANCE, id).replace("instance-0000002a", name)
    if size is not None:
        room = size - len(definition.encode()) - len("<description></description>")
        definition = definition.replace("<devices>", f"<description>{'x' * room}</description><devices>")
        assert len(definition.encode()) == size
    return SurveyedDomain(id=id, name=name, state=1, active=True, definition=definition)


def survey(*domains: SurveyedDomain) -> Survey:
    return Survey(
        hostname="cmp-1",
        vcpus=8,
        memory_mb=16384,
        version=9_000_000,
        capabilities="<capabilities/>",
        domain_capabilities=None,
        networks=(),
        domains=domains,
    )


def adopted(*domains: SurveyedDomain, skip: tuple[str, ...] = ()) -> tuple[AdoptedInstance, ...]:
    return adopted_host(survey(*domains), name=None, skip=skip).instances


def test_adoption_refuses_a_guest_whose_definition_is_too_large_by_name_and_says_what_to_do() -> None:
    with pytest.raises(NotAdoptableError) as caught:
        adopted(domain(1), domain(2, DEFINITION_LIMIT + 1, name="huge"), domain(3))
    assert "\n" not in caught.value.line
    assert "domain huge cannot be adopted: the definition has 1,000,001 bytes, more than 1,000,000" in caught.value.line
    assert "virsh edit" in caught.value.remedy and "--skip" in caught.value.remedy


def test_adoption_takes_what_is_just_small_enough_and_leaves_out_what_is_skipped() -> None:
    found = adopted(domain(1, DEFINITION_LIMIT), domain(2, 3_000_000, name="huge"), skip=("huge",))
    assert [each.name for each in found] == ["vm-01"]


def test_guest_that_was_adopted_stays_so_when_it_carries_our_mark() -> None:
    """The mark itself makes it larger."""
    small = domain(1, DEFINITION_LIMIT)
    marked = small.definition.replace("<metadata>", f"<metadata>{mark_text(small.id, 1, None)}")
    marked = marked.replace("<instance ", "<e:instance xmlns:e='https://evacuate.dev/xmlns/instance/1' ")
    again = small.model_copy(update={"definition": marked})
    assert len(marked) > DEFINITION_LIMIT
    assert adopted(again)[0].stored.definition == marked
    assert guests_of(survey(again))[1] == ()


@pytest.mark.parametrize("definition", ["<domain", "<domain/>", "<!DOCTYPE x><domain/>"])
def test_report_names_what_it_leaves_out_and_tells_of_all_others(definition: str) -> None:
    unread = domain(5).model_copy(update={"definition": definition})
    guests, unreported = guests_of(survey(domain(1), domain(2, 2_500_000, name="huge"), domain(3), unread, domain(9)))
    assert [each.instance_id[-1] for each in guests] == ["1", "3", "9"]
    assert [(each.name, each.id[-1]) for each in unreported] == [("huge", "2"), ("vm-05", "5")]
    assert "2,500,000 bytes" in unreported[0].why and "virsh edit" in unreported[0].why


def test_report_of_a_host_with_nothing_but_large_definitions_is_small() -> None:
    guests, unreported = guests_of(survey(*(domain(n, DEFINITION_LIMIT + 1) for n in range(MOST + 5))))
    assert guests == () and len(unreported) == MOST


def whole(*domains: SurveyedDomain) -> HypervisorReport:
    found = survey(*domains)
    guests, unreported = guests_of(found)
    capabilities = capabilities_of(found).model_copy(update={"unreported": unreported})
    return HypervisorReport(host="cmp-1", incarnation="boot-1", at=NOW, capabilities=capabilities, guests=guests)


async def sizes(found: HypervisorReport) -> list[int]:
    return [each.ByteSize() for each in await DATA_CONVERTER.encode(list(News().of(found)))]


async def test_no_part_of_a_report_is_too_large_to_travel() -> None:
    """Many, each of them small enough alone."""
    found = whole(*(domain(n, 600_000) for n in range(8)))
    assert len(await sizes(found)) == 8 and max(await sizes(found)) < SERVER_LIMIT


@pytest.mark.parametrize(
    "filling", ['"', "\t", "ä", "\U0001f600", "x"], ids=["quote", "tab", "umlaut", "emoji", "plain"]
)
async def test_no_part_is_too_large_whatever_the_definitions_are_made_of(filling: str) -> None:
    """In JSON a quote takes two bytes, and beyond ASCII a character takes up to four."""
    one = filling * (490_000 // len(filling.encode()))
    assert max(await sizes(report(*[one] * 6))) < SERVER_LIMIT
    assert max(await sizes(report(*[filling * (DEFINITION_LIMIT // len(filling.encode()))] * 2))) < SERVER_LIMIT


async def test_no_number_of_guests_silences_a_host() -> None:
    found = report(*["<domain/>"] * 12_000)
    assert max(await sizes(found)) < SERVER_LIMIT / 4
    assert {len(part.guests) for part in News().of(found)} == {PART_GUESTS}


class Server:
    """It takes no message with that guest in it."""

    def __init__(self, refused: str, status: RPCStatusCode) -> None:
        self.refused, self.status = refused, status
        self.told: list[str] = []

    async def start_workflow(self, run: Any, input: Any, **more: Any) -> Any:
        guests = [each.instance_id for each in input.report.guests]
        if self.refused in guests:
            raise RPCError("Blob data size exceeds limit.", self.status, b"")
        self.told += guests

        async def result() -> Any:
            return SimpleNamespace(changed=True)

        return SimpleNamespace(result=result)


@pytest.mark.parametrize("status", [RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.RESOURCE_EXHAUSTED])
async def test_part_that_a_server_does_not_take_keeps_no_other_back(status: RPCStatusCode) -> None:
    """A server may have been set to take less."""
    server, news = Server("id-1", status), News()
    found = report(*["x" * 490_000] * 3)
    with capture_logs() as logs:
        for part in news.of(found):
            if await _is_told(server, Settings(), part):  # type: ignore[arg-type]  # as much of a client as is needed
                news.told(part)
    assert server.told == ["id-0", "id-2"]
    (said,) = [each for each in logs if each["log_level"] == "warning"]
    assert said["guests"] == ["id-1"]
    assert [[each.instance_id for each in part.guests] for part in news.of(found)] == [["id-1"]], "and is tried again"


async def test_server_that_is_away_is_not_asked_for_every_part() -> None:
    server = Server("id-0", RPCStatusCode.UNAVAILABLE)
    with pytest.raises(RPCError):
        await _is_told(server, Settings(), report("x"))  # type: ignore[arg-type]  # as above


def test_guest_that_is_left_out_is_named_once_in_the_log() -> None:
    unreported = whole(domain(1, 2_500_000, name="huge")).capabilities.unreported
    left = LeftOut()
    with capture_logs() as logs:
        for found in (unreported, unreported, (), unreported):
            left.tell(found)
    assert [each["guest"] for each in logs] == ["huge", "huge"]
    assert HostCapabilities().unreported == ()
