"""The ledger knows how far it has come and whose it is: a restored backup, another store and a second control plane are
refused before they start anything."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from evacuation import messages as m
from evacuation.errors import HostsNotAskedError, StoreBehindError, StoreOwnedError
from evacuation.ledger import LedgerMark, StartMark, Witness
from services.sql import SqlServices, open_services
from services.sql.ledger.position import grows, require_sound
from services.sql.ledger.witnesses import Witnesses
from services.sql.tables import InstanceRow
from tests.integration.sql.world import Evacuation, World, evidence


def _mark(services: SqlServices, ahead: int = 0) -> LedgerMark:
    now = services.ledger.show()
    return LedgerMark(ledger=now.ledger, position=now.position + ahead)


@pytest.fixture
def other(url: str) -> Iterator[SqlServices]:
    """The same store, opened by another process."""
    opened = open_services(url)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("statement", "does"),
    [
        ("UPDATE instance SET last_epoch=? WHERE instance.id = ?", True),
        ("UPDATE instance SET task_state=? WHERE instance.last_epoch = ?", False),
        ('INSERT INTO "residence" (instance_id) VALUES (?)', True),
        ("DELETE FROM evidence WHERE evidence.id = ?", True),
        ("UPDATE host SET generation=%(generation)s::INTEGER WHERE host.name = %(name)s::VARCHAR", False),
        ("update host set incarnation = 'x'", True),
        ("SELECT epoch FROM residence FOR NO KEY UPDATE", False),
    ],
)
def test_statement_grows_the_ledger_when_it_writes_what_is_watched(statement: str, does: bool) -> None:
    assert grows(statement) is does


def test_authorisation_says_the_position_that_it_left(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    assert evacuation.authorize().ledger == _mark(world.services)


def _adopt(world: World) -> object:
    left = m.OpenEvacuation(evacuation_id="ev-1", owner="run-1")
    return world.evacuation("web-01", "ev-1", "run-2").begin(adopts=left)


STARTING: dict[str, Callable[[World, Evacuation], object]] = {
    "check": lambda w, e: w.services.store.check_facts(e.ref.instance_id),
    "begin": lambda w, e: w.evacuation("web-02", "ev-2").begin(),
    "adopt": lambda w, e: _adopt(w),
    "fence": lambda w, e: w.services.evidence.open_fence(
        m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=e.ref.instance_id)
    ),
    "authorize": lambda w, e: e.authorize(),
    "register": lambda w, e: w.services.hosts.register(w.report("cmp-3", "boot-2")),
    "start on a host that comes back": lambda w, e: w.services.hosts.authorize_start(
        m.HostGuest(host="cmp-2", incarnation="boot-1", instance_id=w.id_of("web-03"), epoch=1)
    ),
    "delete": lambda w, e: w.services.hosts.plan_deletion(w.id_of("web-02")),
}
WRITING = STARTING | {
    "claim": lambda w, e: e.claim(),
    "record preparation": lambda w, e: e.prepare(),
    "record evidence": lambda w, e: w.services.evidence.record_evidence(evidence("cmp-2")),
    "void evidence": lambda w, e: w.services.evidence.void_evidence("cmp-1", "boot-1", "it answers"),
    "undo": lambda w, e: w.services.store.begin_undoing(e.at(1)),
}


def _on_the_way(world: World) -> Evacuation:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    return evacuation


@pytest.mark.parametrize("name", WRITING)
def test_second_control_plane_is_refused_until_it_claims_the_store(world: World, other: SqlServices, name: str) -> None:
    world.services.database.serve("first", Witnesses())
    evacuation = _on_the_way(world)
    facts = evacuation.facts
    world.services.database.serve("second", Witnesses())
    before = other.views.everything()
    with pytest.raises(StoreOwnedError, match="first") as refused:
        evacuation.facts = facts
        WRITING[name](world, evacuation)
    assert "evacuate store claim" in refused.value.line and "\n" not in refused.value.line
    assert other.views.everything() == before


def test_claim_refuses_the_first_control_plane_from_then_on(world: World, other: SqlServices) -> None:
    world.services.database.serve("first", Witnesses())
    evacuation = _on_the_way(world)
    other.ledger.claim("second")
    with pytest.raises(StoreOwnedError, match="second"):
        evacuation.prepare()
    world.services.database.serve("second", Witnesses())
    evacuation.prepare()


def test_unowned_store_belongs_to_the_first_that_writes(world: World) -> None:
    assert world.services.ledger.show().owner is None
    world.services.database.serve("first", Witnesses())
    world.services.store.check_facts(world.id_of("web-01"))
    assert world.services.ledger.show().owner is None
    world.evacuation().begin()
    assert world.services.ledger.show().owner == "first"


@pytest.mark.parametrize("name", STARTING)
def test_nothing_starts_once_a_host_has_seen_more_of_the_ledger(world: World, other: SqlServices, name: str) -> None:
    """Whoever noticed it: it is kept in the store."""
    evacuation = _on_the_way(world)
    seen = _mark(world.services, ahead=3)
    with pytest.raises(StoreBehindError, match="older than what cmp-3 has seen"):
        other.hosts.register(world.report("cmp-3").model_copy(update={"ledger": seen}))
    before = other.views.everything()
    with pytest.raises(StoreBehindError, match="cmp-3") as refused:
        STARTING[name](world, evacuation)
    assert "evacuate store reconcile" in refused.value.line and "\n" not in refused.value.line
    assert other.views.everything() == before


def test_host_that_has_seen_less_is_no_sign(world: World) -> None:
    seen = _mark(world.services)
    world.fence("cmp-2")
    world.services.hosts.register(world.report("cmp-3").model_copy(update={"ledger": seen}))
    assert world.services.ledger.show().doubt is None


def test_host_of_another_store_is_a_sign(world: World) -> None:
    seen = LedgerMark(ledger="another", position=1)
    with pytest.raises(StoreBehindError, match="another one"):
        world.services.hosts.register(world.report("cmp-3").model_copy(update={"ledger": seen}))


def test_authorisation_is_refused_by_what_the_destination_has_said(world: World) -> None:
    evacuation = _on_the_way(world)
    message = m.AuthorizeSpawn(
        ref=evacuation.at(1),
        host="cmp-2",
        incarnation="boot-1",
        witnessed=(Witness(who="cmp-2", mark=_mark(world.services, ahead=1)),),
    )
    with pytest.raises(StoreBehindError, match="cmp-2"):
        world.services.store.authorize_spawn(message)
    assert [each.epoch for each in world.services.views.residences() if each.instance == "web-01"] == [1]


@pytest.mark.parametrize(("ahead", "epoch"), [(1, 1), (-1, 2)], ids=["position", "epoch"])
def test_begin_is_refused_by_what_the_last_evacuation_has_written_down(world: World, ahead: int, epoch: int) -> None:
    """An epoch that this ledger has not given counts whatever the position: it may have been raised since."""
    seen = StartMark(**dict(_mark(world.services, ahead)), epoch=epoch)
    evacuation = world.evacuation()
    with pytest.raises(StoreBehindError, match="the last evacuation of web-01"):
        world.services.store.check_facts(evacuation.ref.instance_id, witnessed=seen)
    message = m.Begin(
        ref=evacuation.ref,
        instance=evacuation.facts.instance,
        source_incarnation="boot-1",
        adopts=None,
        request_id="request-1",
        witnessed=seen,
    )
    with pytest.raises(StoreBehindError, match="the last evacuation of web-01"):
        world.services.store.begin(message)
    assert world.services.views.evacuations() == ()


def test_worker_that_saw_the_store_further_on_starts_nothing(world: World) -> None:
    """Its store was restored, or a replica was promoted, under its hands."""
    witnesses = Witnesses()
    world.services.database.serve("first", witnesses)
    evacuation = _on_the_way(world)
    with world.services.database._engine.begin() as connection:
        connection.execute(text("UPDATE ledger SET position = position - 2"))
    with pytest.raises(StoreBehindError, match="this control worker"):
        evacuation.authorize()


def test_worker_starts_nothing_before_it_has_asked_the_hosts(world: World) -> None:
    witnesses = Witnesses()
    world.services.database.serve("first", witnesses)
    evacuation = _on_the_way(world)
    witnesses.begin_asking()
    with pytest.raises(HostsNotAskedError):
        evacuation.authorize()
    with pytest.raises(HostsNotAskedError):
        STARTING["start on a host that comes back"](world, evacuation)
    witnesses.end_asking()
    evacuation.authorize()


def test_fleet_that_was_loaded_before_the_upgrade_goes_on_by_itself(world: World) -> None:
    """Its hosts have seen no position yet: they are no witness."""
    world.services.database.serve("first", Witnesses())
    world.evacuation().recover()
    assert world.instance().host == "cmp-2"


def test_what_is_written_while_a_reading_goes_on_is_no_sign_against_the_store(world: World) -> None:
    """A reading sees the store of its beginning; another thread of the same worker has written meanwhile."""
    world.services.database.serve("somebody", Witnesses())

    def reading(session: Session) -> None:
        session.exec(select(InstanceRow)).all()
        world.fence("cmp-3")
        require_sound(session)

    world.services.database.read(reading)
    world.services.database.read(require_sound)
