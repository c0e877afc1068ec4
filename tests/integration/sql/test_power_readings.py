"""A word, and older power-off evidence, count only after the host's power was read; what reads on is not off."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from activities.power import PowerReader
from evacuation import messages as m
from evacuation.errors import FenceFailedError, PowerReadsOnError, PowerUnreadError, SourceReturnedError
from evacuation.model import Evidence, PowerReading
from tests.integration.sql.world import Evacuation, World, evidence

LONG_AGO = timedelta(minutes=2)


def word(host: str = "cmp-1") -> Evidence:
    return evidence(host, "boot-1", "operator")


def old() -> Evidence:
    return evidence().model_copy(update={"at": datetime.now(UTC) - LONG_AGO})


def say(world: World, said: Evidence) -> Evidence:
    return world.services.evidence.record_evidence(said)


def read(world: World, reading: str, host: str = "cmp-1") -> None:
    world.services.evidence.record_reading(host, PowerReading(reading), datetime.now(UTC))


def ready(world: World) -> Evacuation:
    """Up to the point of no return; nothing proves its source off any more but what the test says."""
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    return evacuation


@pytest.mark.parametrize("said", [word, old], ids=["word", "old"])
def test_start_waits_for_a_reading_which_serves_the_next_one_too(world: World, said: Callable[[], Evidence]) -> None:
    evacuation = ready(world)
    say(world, said())
    before = world.snapshot()
    with pytest.raises(PowerUnreadError) as caught:
        evacuation.authorize()
    assert [each.host for each in caught.value.hosts] == ["cmp-1"] and world.snapshot() == before
    read(world, "off")
    evacuation.authorize()
    other = world.evacuation("web-02", "ev-2", "run-2")
    other.begin()
    other.claim()
    other.authorize()


@pytest.mark.parametrize("said", [word, old], ids=["word", "old"])
def test_unknown_leaves_what_was_said(world: World, said: Callable[[], Evidence]) -> None:
    evacuation = ready(world)
    say(world, said())
    read(world, "unknown")
    evacuation.authorize()


@pytest.mark.parametrize("said", [word, old], ids=["word", "old"])
def test_on_voids_what_was_said_and_what_is_measured_then_counts(world: World, said: Callable[[], Evidence]) -> None:
    evacuation = ready(world)
    say(world, said())
    read(world, "on")
    with pytest.raises(PowerReadsOnError) as caught:
        evacuation.authorize()
    assert "evacuate host down cmp-1 --power-off" in caught.value.remedy
    world.fence()
    evacuation.authorize()


def test_power_off_evidence_that_is_recent_needs_no_reading(world: World) -> None:
    evacuation = ready(world)
    world.fence()
    evacuation.authorize()


def test_reading_that_was_begun_before_the_power_was_cut_voids_nothing(world: World) -> None:
    since = datetime.now(UTC)
    world.fence()
    world.services.evidence.record_reading("cmp-1", PowerReading.ON, since)
    ready(world).authorize()


def test_new_boot_holds_whatever_the_power_reads(world: World) -> None:
    evacuation = ready(world)
    say(world, word())
    world.services.hosts.register(world.report("cmp-1", "boot-2"))
    read(world, "on")
    evacuation.authorize()


def test_reading_ends_with_an_answer_of_the_host(world: World) -> None:
    evacuation = ready(world)
    say(world, word())
    read(world, "off")
    world.services.evidence.void_evidence("cmp-1", "boot-1", "its own worker answered")
    with pytest.raises(SourceReturnedError):
        evacuation.authorize()
    say(world, word())
    with pytest.raises(PowerUnreadError):
        evacuation.authorize()


def test_every_use_of_a_word_asks_for_a_reading(world: World) -> None:
    evacuation = ready(world)
    world.fence()
    evacuation.prepare()
    evacuation.authorize()
    proof = say(world, word("cmp-2"))
    services = world.services
    request = m.FenceRequest(host="cmp-2", incarnation="boot-1", instance_id=world.id_of("web-03"))
    uses: tuple[Callable[[], object], ...] = (
        lambda: services.store.record_guest_gone(m.RecordGuestGone(ref=evacuation.at(1), evidence=proof)),
        lambda: services.evidence.open_fence(request),
        lambda: services.evidence.usable_evidence("cmp-2", "boot-1"),
        lambda: services.hosts.plan_deletion(world.id_of("web-03")),
        lambda: services.hosts.record_deleted(None, world.id_of("web-03")),
    )
    for use in uses:
        with pytest.raises(PowerUnreadError):
            use()
    read(world, "unknown", "cmp-2")
    for use in uses:
        use()


class Driver:
    """A power driver that reads what it is told, and says how often it was asked."""

    kind = "switch"

    def __init__(self, reads: str) -> None:
        self.reads, self.asked = reads, 0

    def kind_of(self, host: str) -> str:
        return self.kind

    def is_able(self, host: str) -> bool:
        return True

    def is_off(self, host: str) -> bool:
        self.asked += 1
        if self.reads == "unknown":
            raise FenceFailedError("the BMC died with its host")
        return self.reads == "off"

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        return self.is_off(host)

    def doubt_about(self, host: str) -> str | None:
        return None

    def boot_of(self, host: str) -> str | None:
        return None

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        raise AssertionError("nobody cuts it here")


@pytest.mark.parametrize("reads", ["off", "unknown"])
def test_one_reading_serves_all_evacuations_of_a_host(world: World, reads: str) -> None:
    say(world, word())
    driver = Driver(reads)
    reader = PowerReader(world.services.evidence, driver)
    for number, name in enumerate(("web-01", "web-02", "db-01")):
        evacuation = world.evacuation(name, f"ev-{number}", f"run-{number}")
        reader.first(evacuation.begin)
        evacuation.claim()
        reader.first(evacuation.authorize)
    assert driver.asked == 1


def test_start_that_died_after_the_reading_finds_the_same_the_next_time(world: World) -> None:
    """On was recorded, and the process died before it could say so."""
    evacuation = ready(world)
    say(world, word())
    reader = PowerReader(world.services.evidence, Driver("on"))
    assert reader.look("cmp-1") is PowerReading.ON
    for _ in range(2):
        with pytest.raises(PowerReadsOnError):
            reader.first(evacuation.authorize)


AN_HOUR = timedelta(hours=1)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the store takes for now: `passed` of true time, and what the clock on the wall says beside it."""

    def set_to(*, passed: timedelta, shown: timedelta) -> None:
        wall, ticks = datetime.now(UTC) + shown, time.clock_gettime(time.CLOCK_BOOTTIME) + passed.total_seconds()
        monkeypatch.setattr("services.sql.ledger.evidence.utc_now", lambda: wall)
        monkeypatch.setattr("services.sql.ledger.readings.ticks", lambda: ticks, raising=False)

    return set_to


def test_reading_of_an_hour_ago_is_old_when_the_clock_was_set_back_by_an_hour(
    world: World, clocks: Callable[..., None]
) -> None:
    evacuation = ready(world)
    say(world, word())
    read(world, "off")
    clocks(passed=AN_HOUR, shown=timedelta(seconds=5))
    with pytest.raises(PowerUnreadError):
        evacuation.authorize()


def test_power_that_was_cut_an_hour_ago_is_read_when_the_clock_was_set_back_by_an_hour(
    world: World, clocks: Callable[..., None]
) -> None:
    evacuation = ready(world)
    world.fence()
    clocks(passed=AN_HOUR, shown=timedelta(seconds=5))
    with pytest.raises(PowerUnreadError):
        evacuation.authorize()


@pytest.mark.parametrize("jump", [AN_HOUR, -AN_HOUR], ids=["forward", "back"])
def test_reading_of_just_now_counts_whatever_became_of_the_clock(
    world: World, clocks: Callable[..., None], jump: timedelta
) -> None:
    evacuation = ready(world)
    say(world, word())
    read(world, "off")
    clocks(passed=timedelta(seconds=5), shown=jump)
    evacuation.authorize()


def test_reading_of_another_process_counts_by_the_clock_on_the_wall(
    world: World, clocks: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    evacuation = ready(world)
    say(world, word())
    read(world, "off")
    monkeypatch.setattr("services.sql.ledger.readings._OWN", {}, raising=False)
    clocks(passed=timedelta(0), shown=AN_HOUR)
    with pytest.raises(PowerUnreadError):
        evacuation.authorize()
    clocks(passed=timedelta(0), shown=timedelta(0))
    evacuation.authorize()


def test_power_that_reads_on_voids_what_was_said_by_a_clock_that_was_set_back_since(world: World) -> None:
    """It was said earlier, and its time is yet to come."""
    say(world, word().model_copy(update={"at": datetime.now(UTC) + AN_HOUR}))
    read(world, "on")
    assert world.services.evidence.current_evidence("cmp-1", "boot-1") is None
