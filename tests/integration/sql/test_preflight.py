"""The pre-flight of a host, on the store."""

from datetime import UTC, datetime

from evacuation import messages as m
from evacuation.capabilities import PutOff
from evacuation.fleet import Fleet
from evacuation.preflight import Preflight
from tests.integration.sql.test_reports import ABLE, definition, report
from tests.integration.sql.world import World, host, instance

NIGHT = datetime(2026, 1, 1, 3, tzinfo=UTC)


def told(world: World, name: str = "cmp-1") -> dict[str, Preflight]:
    return {each.name: each for each in world.services.views.preflight(name)}


def test_preflight_names_destinations_of_every_instance_on_the_host(world: World) -> None:
    found = told(world)
    assert list(found) == ["web-01", "web-02", "db-01"]
    assert all(each.can and set(each.destinations) == {"cmp-2", "cmp-3"} for each in found.values())


def test_preflight_changes_nothing(world: World) -> None:
    before = world.snapshot()
    told(world)
    assert world.snapshot() == before


def test_preflight_says_why_when_the_check_would_refuse(services) -> None:
    fleet = Fleet.model_validate(
        {
            "hosts": [host("cmp-1"), host("cmp-2")],
            "instances": [
                instance("local", root_disk="local"),
                instance("paused", vm_state="paused"),
                instance("kept", evacuate=False),
                instance("fine"),
                instance("picky", traits=["GPU"]),
            ],
        }
    )
    found = told(World(services, fleet))
    assert found["fine"].can and not any(each.can for name, each in found.items() if name != "fine")
    assert "the root disk of local is local to cmp-1" in found["local"].reasons[0]
    assert "only active, stopped and error" in found["paused"].reasons[0]
    assert "evacuate instance evacuate kept" in found["kept"].reasons[0]
    assert found["picky"].reasons == ("cmp-2: lacks GPU",)


def test_preflight_says_that_an_instance_is_being_evacuated(world: World) -> None:
    world.evacuation().begin()
    assert told(world)["web-01"].reasons == ("it is being evacuated already",)


def _stored(world: World, name: str, domain: str) -> m.DefinedGuest:
    return m.DefinedGuest(instance_id=world.id_of(name), stored=m.StoredDefinition(definition=definition(domain)))


def test_preflight_tells_obstacles_of_the_guest_from_those_of_a_destination(world: World) -> None:
    world.define("web-01", "web-02")
    guests = (_stored(world, "web-01", "web"), _stored(world, "web-02", "gpu"))
    world.services.hosts.record_report(report(world, "cmp-1", guests=guests))
    world.services.hosts.record_report(report(world, "cmp-2", capabilities=ABLE.model_copy(update={"shared": ()})))
    found = told(world)
    assert found["web-02"].reasons == (
        "it holds the PCI device 0000:3b:00.0 of its host: take the device out of its definition",
        "it holds the USB device 0529:0001 of its host: take the device out of its definition",
    )
    assert found["web-01"].reasons == (
        "cmp-2: does not see the shared directory of /srv/vms/web.qcow2",
        "cmp-3: has not said what it can run",
    )
    world.services.hosts.record_report(report(world, "cmp-3"))
    assert told(world)["web-01"].destinations == ("cmp-3",)


def test_preflight_answers_from_the_store_when_the_host_is_dead(world: World) -> None:
    world.define("web-01")
    world.services.hosts.record_report(report(world, "cmp-1", guests=(_stored(world, "web-01", "web"),)))
    world.services.hosts.record_report(report(world, "cmp-2"))
    world.fence("cmp-1")
    assert told(world)["web-01"].destinations == ("cmp-2",)


def test_preflight_notes_what_would_start_a_guest_on_another_account(world: World) -> None:
    found = PutOff(id=world.id_of("web-01"), name="web-01", at=NIGHT)
    stray = found.model_copy(update={"id": "elsewhere", "name": "gone-01"})
    said = ABLE.model_copy(update={"autostarts": (found, stray), "held": False})
    world.services.hosts.record_report(report(world, "cmp-1", capabilities=said))
    notes = {name: each.notes for name, each in told(world).items()}
    assert len(notes.pop("web-01")) == 1 and set(notes.values()) == {()}
    assert told(world)["web-01"].can, "a note is no obstacle"
    of_host = world.services.views.notes("cmp-1")
    assert [line.partition(" ")[0] for line in of_host] == ["evacuate-hold.service", "autostart", "autostart"]
    assert "gone-01" in of_host[2]
    assert world.services.views.notes("cmp-2") == ()
