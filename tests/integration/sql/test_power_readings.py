"""A word, and older power-off evidence, count only after the host's power was read; what reads on is not off."""

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
