"""Definitions that are too large for a message: kept out of the store, and named where an older release let one in."""

import pytest
from sqlmodel import Session

from evacuation import messages as m
from evacuation.capabilities import Unreported
from evacuation.errors import MalformedDefinitionError, NotAdoptableError
from evacuation.sizes import DEFINITION_LIMIT
from services.sql import SqlServices
from services.sql.hosts.reports import keep
from services.sql.tables import InstanceRow
from tests.integration.sql import test_adoption as adoption
from tests.integration.sql.test_reports import ABLE, definition, rejected, report, stored
from tests.integration.sql.world import World


def large(size: int = 2_500_000) -> m.StoredDefinition:
    return m.StoredDefinition(definition=definition().replace("<devices>", f"<!--{'x' * size}--><devices>"))


def let_in(world: World, name: str, kept: m.StoredDefinition) -> None:
    """As an older release did."""

    def write(session: Session) -> None:
        keep(session.get_one(InstanceRow, world.id_of(name)), kept)

    world.services.store._database.write(write)


def test_adoption_refuses_all_of_it_and_names_the_guest(services: SqlServices) -> None:
    """Whoever made what is adopted."""
    huge = adoption.instance(adoption.DB, "huge", stored=large())
    with pytest.raises(NotAdoptableError, match=r"huge on cmp-1 cannot be adopted: the definition has .* bytes"):
        services.adoption.adopt([adoption.host("cmp-1", adoption.instance(), huge)])
    assert adoption.everything(services) == ((), (), (), (), ())


def test_report_of_an_older_worker_keeps_the_others_and_the_older_definition(world: World) -> None:
    world.define("web-01", "web-02")
    before, usual = stored(world), report(world, "cmp-1", "web-01", "web-02")
    huge, other = usual.guests
    huge = huge.model_copy(update={"stored": large(DEFINITION_LIMIT + 10_000)})
    assert world.services.hosts.record_report(usual.model_copy(update={"guests": (huge, other)}))
    assert stored(world) == before and stored(world, "web-02") == other.stored


def test_preflight_names_a_guest_whose_definition_is_not_followed(world: World) -> None:
    world.define("web-01", "web-02")
    world.services.hosts.record_report(report(world, "cmp-1", "web-01", "web-02"))
    left = Unreported(id=world.id_of("web-01"), name="web-01", why="the definition has 2,500,000 bytes")
    said = report(world, "cmp-1", "web-02", second=1, capabilities=ABLE.model_copy(update={"unreported": (left,)}))
    for each in (said, report(world, "cmp-2"), report(world, "cmp-3")):
        world.services.hosts.record_report(each)
    found = {each.name: each for each in world.services.views.preflight("cmp-1")}
    assert found["web-01"].reasons == ("it would come back as it once was defined: the definition has 2,500,000 bytes",)
    assert rejected(world) == {}, "it is evacuated all the same, if its host dies"
    assert not any("as it once was" in reason for reason in found["web-02"].reasons)


def test_definition_that_was_let_in_is_named_before_anything_is_done_and_wherever_it_would_be_sent(
    world: World,
) -> None:
    let_in(world, "web-01", large())
    why = "the definition has 2,50"
    assert set(rejected(world)) == {"cmp-1", "cmp-2", "cmp-3"}
    assert all(why in each and "virsh edit" in each for each in rejected(world).values())
    (told,) = [each for each in world.services.views.preflight("cmp-1") if each.name == "web-01"]
    assert any(why in each for each in told.reasons)
    with pytest.raises(MalformedDefinitionError, match=f"web-01: {why}"):
        world.services.store.stored_definition(world.id_of("web-01"))


def test_host_that_comes_back_is_told_of_a_definition_that_cannot_travel(world: World) -> None:
    let_in(world, "web-01", large())
    plan = world.services.hosts.register(
        m.HostReport(host="cmp-1", hypervisor_uuid="uuid-cmp-1", machine_id="machine", incarnation="boot-2", guests=())
    )
    key = next(each for each in plan.start if each.instance_id == world.id_of("web-01"))
    with pytest.raises(MalformedDefinitionError, match="web-01: the definition has"):
        world.start(key, "cmp-1", "boot-2")


def test_definition_that_was_let_in_and_travels_is_sent(world: World) -> None:
    let_in(world, "web-01", large(1_800_000))
    assert rejected(world) == {}
    assert world.services.store.stored_definition(world.id_of("web-01")) == large(1_800_000)
