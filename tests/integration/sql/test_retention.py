"""Events of what ended long ago go, a few with each evacuation that ends; what decides anything stays."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, col, select, update

from evacuation.errors import StaleAttemptError
from evacuation.invariants import World as Picture
from evacuation.invariants import find_breaches
from services.runtime.settings import Settings
from services.sql import SqlServices
from services.sql.database import RETENTION
from services.sql.ledger import retention
from services.sql.tables import ActionEventRow, ActionRow, EvacuationRow
from tests.integration.sql.world import World

KEPT = timedelta(days=90)
LONG_AGO = datetime.now(UTC) - timedelta(days=91)


def events_of(services: SqlServices, evacuation_id: str) -> int:
    def count(session: Session) -> int:
        found = select(ActionEventRow).where(ActionEventRow.evacuation_id == evacuation_id)
        return len(session.exec(found).all())

    return services.database.read(count)


def age(services: SqlServices, evacuation_id: str, *, finished: bool = True) -> None:
    def change(session: Session) -> None:
        old = update(ActionEventRow).where(col(ActionEventRow.evacuation_id) == evacuation_id)
        session.exec(old.values(started_at=LONG_AGO))
        if not finished:
            session.exec(
                update(ActionRow).where(col(ActionRow.evacuation_id) == evacuation_id).values(finished_at=None)
            )

    services.database.write(change)


@pytest.fixture
def keeping(services: SqlServices) -> SqlServices:
    services.database._context[RETENTION] = KEPT
    return services


@pytest.fixture
def old(keeping: SqlServices) -> World:
    world = World(keeping)
    world.evacuation("web-01", "ev-old").recover()
    assert events_of(keeping, "ev-old")
    return world


def test_old_events_go_when_another_evacuation_ends(old: World):
    age(old.services, "ev-old")
    late = old.evacuation("web-01", "ev-old", "run-1")
    old.evacuation("web-02", "ev-new").recover()
    assert events_of(old.services, "ev-old") == 0
    assert events_of(old.services, "ev-new") > 0
    assert {row.id for row in old.services.views.evacuations()} == {"ev-old", "ev-new"}
    assert find_breaches_of_rows(old) == ()
    with pytest.raises(StaleAttemptError):
        late.claim()


def find_breaches_of_rows(world: World) -> tuple[object, ...]:
    return find_breaches(Picture(rows=world.services.views.everything()))


def test_open_evacuation_does_not_keep_the_events_behind_its_own(keeping: SqlServices, monkeypatch: pytest.MonkeyPatch):
    """One that has waited for longer than the retention has as many events as are looked at."""
    world = World(keeping)
    world.fence()
    waits = world.evacuation("web-02", "ev-waits")
    waits.begin()
    world.evacuation("web-01", "ev-old").recover()
    for each in ("ev-waits", "ev-old"):
        age(keeping, each, finished=each == "ev-old")
    kept = events_of(keeping, "ev-waits")
    monkeypatch.setattr(retention, "_OLDEST", retention._OLDEST.limit(kept))
    while keeping.database.write(retention.prune):
        pass
    assert (events_of(keeping, "ev-waits"), events_of(keeping, "ev-old")) == (kept, 0)


@pytest.mark.parametrize("finished", [True, False], ids=["not old enough", "not ended"])
def test_events_that_may_still_be_wanted_stay(old: World, finished: bool):
    if not finished:
        age(old.services, "ev-old", finished=False)
    before = events_of(old.services, "ev-old")
    old.evacuation("web-02", "ev-new").recover()
    assert events_of(old.services, "ev-old") == before


def test_as_many_go_at_once_as_are_looked_at(old: World, monkeypatch: pytest.MonkeyPatch):
    age(old.services, "ev-old")
    before = events_of(old.services, "ev-old")
    monkeypatch.setattr(retention, "_OLDEST", retention._OLDEST.limit(1))
    assert old.services.database.write(retention.prune) == 1
    assert events_of(old.services, "ev-old") == before - 1


def test_without_a_retention_everything_is_kept(old: World):
    age(old.services, "ev-old")
    del old.services.database._context[RETENTION]
    before = events_of(old.services, "ev-old")
    old.evacuation("web-02", "ev-new").recover()
    assert events_of(old.services, "ev-old") == before


def test_setting_is_in_days_and_may_be_for_ever():
    assert Settings().event_retention == timedelta(days=90)
    assert Settings(event_retention_days=0).event_retention is None


def test_evacuations_themselves_outlive_their_events(old: World):
    age(old.services, "ev-old")
    old.services.database.write(retention.prune)

    def closed(session: Session) -> object:
        return session.get_one(EvacuationRow, "ev-old").outcome

    assert old.services.database.read(closed) is not None
    assert [each.events for each in old.services.views.actions(old.id_of("web-01"))] == [()]
