"""What of a report the store has not been told yet."""

from datetime import UTC, datetime

from evacuation.capabilities import HostCapabilities
from evacuation.messages import DefinedGuest, HypervisorReport, StoredDefinition
from workers.report import EVERYTHING_AFTER, PART, News

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def report(*definitions: str, version: str = "9.0.0") -> HypervisorReport:
    guests = tuple(
        DefinedGuest(instance_id=f"id-{number}", stored=StoredDefinition(definition=text))
        for number, text in enumerate(definitions)
    )
    capabilities = HostCapabilities(hypervisor_version=version)
    return HypervisorReport(host="cmp-1", incarnation="boot-1", at=NOW, capabilities=capabilities, guests=guests)


def tell(news: News, found: HypervisorReport) -> list[list[str]]:
    parts = news.of(found)
    for part in parts:
        news.told(part)
    return [[guest.instance_id for guest in part.guests] for part in parts]


def test_everything_is_news_the_first_time():
    assert tell(News(), report("a", "b")) == [["id-0", "id-1"]]


def test_host_without_guests_is_news_too():
    assert tell(News(), report()) == [[]]


def test_nothing_is_told_when_nothing_is_new():
    news = News()
    tell(news, report("a", "b"))
    assert tell(news, report("a", "b")) == []


def test_only_the_changed_definition_is_told():
    news = News()
    tell(news, report("a", "b"))
    assert tell(news, report("a", "c")) == [["id-1"]]


def test_changed_capabilities_are_told_without_definitions():
    news = News()
    tell(news, report("a"))
    assert tell(news, report("a", version="10.0.0")) == [[]]


def test_part_that_did_not_arrive_is_told_again():
    news = News()
    first, second = news.of(report("a" * PART, "b" * PART))
    news.told(first)
    assert tell(news, report("a" * PART, "b" * PART)) == [["id-1"]]
    assert [guest.instance_id for guest in second.guests] == ["id-1"]


def test_large_reports_are_told_in_parts():
    assert tell(News(), report("a" * (PART - 1), "b", "c", "d" * PART)) == [["id-0", "id-1"], ["id-2"], ["id-3"]]


def test_everything_is_told_again_after_a_while():
    news = News()
    told = [tell(news, report("a")) for _ in range(EVERYTHING_AFTER + 1)]
    assert [number for number, parts in enumerate(told) if parts] == [0, EVERYTHING_AFTER]
