"""A host comes back in the same boot, and disks of guests that run there were taken away meanwhile."""

from collections.abc import Callable

import pytest

from evacuation import messages as m
from evacuation.errors import CapacityNotYetError, NotMovedError, ResidenceNotProvenError, StaleAttemptError
from evacuation.fencing import disks_scope
from evacuation.fleet import Fleet
from evacuation.model import PowerState
from evacuation.views import AttachmentView
from services.sql import SqlServices
from tests.integration.sql.world import HOSTS, Evacuation, World, evidence, host, instance

FLEET = Fleet.model_validate(
    {
        "hosts": [host(name) for name in HOSTS],
        "volumes": [{"name": name, "size_gb": 1} for name in ("root-1", "data-1", "root-2", "root-3")],
        "instances": [
            instance("web-01", root_disk="volume", volumes=["root-1", "data-1"]),
            instance("web-02", root_disk="volume", volumes=["root-2"]),
            instance("db-01", vm_state="stopped", root_disk="volume", volumes=["root-3"]),
        ],
    }
)
RUNNING, SHUT_DOWN = PowerState.RUNNING, PowerState.SHUTDOWN


@pytest.fixture
def world(services: SqlServices) -> World:
    return World(services, FLEET)


def there(world: World, *, epoch: int = 1, paused: bool = False, without: str = "") -> m.HostReport:
    """cmp-1 in its first boot, with its guests as they were."""
    states = {"web-01": RUNNING, "web-02": RUNNING, "db-01": SHUT_DOWN}
    return world.report(
        "cmp-1",
        guests=tuple(
            m.GuestState(
                instance_id=world.id_of(name),
                epoch=epoch if name == "web-01" else 1,
                power_state=state,
                paused=paused and state is RUNNING,
            )
            for name, state in states.items()
            if name != without
        ),
    )


def keys(found: tuple[m.GuestKey, ...]) -> list[tuple[str, int]]:
    return [(key.name, key.epoch) for key in found]


def guest_of(world: World, name: str = "web-01", epoch: int = 1) -> m.HostGuest:
    return m.HostGuest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of(name), epoch=epoch)


def request(world: World, name: str = "web-01") -> m.FenceRequest:
    return m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of(name))


def take_away(world: World, name: str = "web-01") -> None:
    """Known to the store; and nobody came to say that it is done."""
    world.services.exports.take_away(request(world, name))


def revoke(world: World, name: str = "web-01") -> None:
    world.services.exports.record_revoked(request(world, name), world.services.exports.take_away(request(world, name)))


def given_up(world: World, *, detached: bool) -> Evacuation:
    """Its evacuation ended not recovered, its volumes taken from the source or not."""
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    if detached:
        detach(world, evacuation)
    evacuation.tear_down()
    evacuation.abandon()
    return evacuation


def detach(world: World, evacuation: Evacuation) -> None:
    """As the volume service does it: what it takes from a source is evidence."""
    devices = world.services.store.block_devices(evacuation.at(1))
    held = [world.services.volumes.attachment(each.attachment_id or "") for each in devices]
    evacuation.detach()
    for each in held:
        assert each is not None
        world.services.exports.record_detached(each)


def connections(world: World, name: str = "web-01") -> set[tuple[str | None, str]]:
    ids = {each.id for each in world.services.views.instances() if each.name == name}
    held = [each for volume in world.services.views.volumes() for each in volume.attachments]
    return {(each.host, each.status) for each in held if each.instance_id in ids}


def revoked_and_refused(world: World) -> None:
    revoke(world)


def revoked_and_given_up(world: World) -> None:
    revoke(world)
    given_up(world, detached=False)


def detached_and_given_up(world: World) -> None:
    revoke(world)
    given_up(world, detached=True)


def detached_after_a_cut_that_was_none(world: World) -> None:
    world.fence()
    given_up(world, detached=True)


def half_revoked(world: World) -> None:
    take_away(world)


ENDS = [
    revoked_and_refused,
    revoked_and_given_up,
    detached_and_given_up,
    detached_after_a_cut_that_was_none,
    half_revoked,
]


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("end", ENDS)
def test_guest_whose_disks_were_taken_away_is_destroyed_and_started_with_a_new_epoch_and_new_disks(
    world: World, end: Callable[[World], None], paused: bool
) -> None:
    before = world.services.hosts.authorize_start(guest_of(world)).disks
    end(world)
    hosts = world.services.hosts
    plan = hosts.register(there(world, paused=paused))
    assert keys(plan.destroy) == [("web-01", 1)]
    assert "disks were taken away" in plan.destroy[0].why
    assert ("web-01", 1) in keys(plan.start)
    hosts.record_destroyed(guest_of(world))
    spec = hosts.authorize_start(guest_of(world))
    assert spec.epoch > 1 and hosts.authorize_start(guest_of(world)) == spec
    if end is not half_revoked:
        assert not {each.attachment_id for each in spec.disks} & {each.attachment_id for each in before}
    assert connections(world) == {("cmp-1", "attached")}
    hosts.record_started(m.RecordStarted(guest=guest_of(world, epoch=spec.epoch), power_state=RUNNING))
    first = next(r for r in world.services.views.residences() if r.instance == "web-01" and r.epoch == 1)
    assert first.proof is not None and first.proof.startswith("guest-gone")
    hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-1"))
    assert hosts.register(there(world, epoch=spec.epoch)).destroy == ()
    assert world.instance().power_state == "running"


def test_its_neighbours_on_the_host_are_left_alone(world: World) -> None:
    revoke(world)
    plan = world.services.hosts.register(there(world))
    assert keys(plan.destroy) == keys(plan.start) == [("web-01", 1)]


def test_stopped_guest_whose_disks_were_taken_away_is_defined_anew(world: World) -> None:
    revoke(world, "db-01")
    plan = world.services.hosts.register(there(world))
    assert keys(plan.destroy) == keys(plan.start) == [("db-01", 1)]


def test_it_is_destroyed_also_when_the_answer_of_its_destruction_was_lost(world: World) -> None:
    """It is gone already, and the host has its epoch in a tombstone: only a new one may start."""
    revoke(world)
    plan = world.services.hosts.register(there(world, without="web-01"))
    assert keys(plan.destroy) == [("web-01", 1)]


def test_nothing_is_destroyed_when_its_start_was_authorised_and_not_heard_of(world: World) -> None:
    revoke(world)
    hosts = world.services.hosts
    hosts.register(there(world))
    hosts.record_destroyed(guest_of(world))
    hosts.authorize_start(guest_of(world))
    plan = hosts.register(there(world, epoch=2))
    assert (keys(plan.destroy), keys(plan.start)) == ([], [("web-01", 2)])


def test_it_is_quarantined_and_not_destroyed_while_its_evacuation_is_in_flight(world: World) -> None:
    revoke(world)
    world.evacuation().begin()
    plan = world.services.hosts.register(there(world))
    assert (keys(plan.quarantine), plan.destroy, plan.held_by) == ([("web-01", 1)], (), ("web-01",))


def test_it_is_started_anew_when_its_evacuation_only_waited_for_capacity(world: World) -> None:
    """Which yields to the host that is back."""
    revoke(world)
    evacuation = world.evacuation()
    evacuation.begin()
    full = {"cmp-2": "full", "cmp-3": "full"}
    with pytest.raises(CapacityNotYetError):
        world.services.capacity.claim(m.ClaimCapacity(ref=evacuation.at(1), target=None, excluded=full, wait=True))
    plan = world.services.hosts.register(there(world))
    assert keys(plan.destroy) == keys(plan.start) == [("web-01", 1)]
    world.services.hosts.record_destroyed(guest_of(world))
    assert world.services.hosts.authorize_start(guest_of(world)).epoch > 1


def test_no_start_is_authorised_in_the_place_of_a_guest_that_was_not_destroyed(world: World) -> None:
    """It would be told that it runs, with disks that are dead."""
    revoke(world)
    with pytest.raises(ResidenceNotProvenError, match="disks were taken away"):
        world.services.hosts.authorize_start(guest_of(world))
    assert connections(world) == {("cmp-1", "reserved")}


@pytest.mark.parametrize("in_flight", [False, True])
def test_return_does_not_end_over_disks_that_were_taken_away_meanwhile(world: World, in_flight: bool) -> None:
    world.fence()
    hosts = world.services.hosts
    assert hosts.register(there(world)).destroy == ()
    revoke(world)
    if in_flight:
        world.evacuation().begin()
    with pytest.raises(StaleAttemptError, match="web-01"):
        hosts.complete_return(m.ReturnedHost(host="cmp-1", incarnation="boot-1"))
    assert world.host("cmp-1").state == "down"


def test_it_is_started_anew_also_on_a_host_that_is_up(world: World) -> None:
    """An earlier release left it running, and said that all is well. What else is not as recorded stays as it is."""
    volumes = {(volume, attachment.id) for volume, attachment in held(world)}
    world.services.evidence.record_evidence(
        evidence(kind="storage-revoked").model_copy(update={"scope": disks_scope(volumes)})
    )
    plan = world.services.hosts.register(there(world, without="web-02"))
    assert keys(plan.destroy) == keys(plan.start) == [("web-01", 1)]
    assert world.host("cmp-1").state == "up"


def held(world: World) -> list[tuple[str, AttachmentView]]:
    found = [(volume.id, each) for volume in world.services.views.volumes() for each in volume.attachments]
    return [(volume, each) for volume, each in found if each.instance_id == world.id_of("web-01")]


def test_new_boot_has_nothing_to_destroy_of_what_was_taken_from_the_one_before(world: World) -> None:
    revoke(world)
    plan = world.services.hosts.register(world.report("cmp-1", "boot-2"))
    assert plan.destroy == ()
    assert world.bring_up("cmp-1", "boot-2").destroy == ()
    assert connections(world) == {("cmp-1", "attached")}


def test_guest_whose_volumes_were_only_reserved_again_is_left_running(world: World) -> None:
    """The service of its volumes took nothing away from anybody: it is a record, and the guest writes on."""
    world.fence()
    given = world.evacuation()
    given.begin()
    given.claim()
    given.detach()
    given.tear_down()
    given.abandon()
    plan = world.services.hosts.register(there(world))
    assert (plan.destroy, keys(plan.start)) == ((), [("web-01", 1)])
    assert world.services.hosts.authorize_start(guest_of(world)).epoch == 1


def test_instance_that_is_deleted_is_destroyed_and_not_started(world: World) -> None:
    revoke(world)
    world.services.hosts.record_deleted(None, world.id_of("web-01"))
    plan = world.services.hosts.register(there(world))
    assert (keys(plan.destroy), keys(plan.start)) == ([("web-01", 1)], [])


def revoke_at(world: World, host: str) -> None:
    there = m.FenceRequest(host=host, incarnation="boot-1", instance_id=world.id_of("web-01"))
    world.services.exports.take_away(there)


def test_guest_of_an_attempt_is_known_to_have_lost_its_disks_once_they_are_taken_from_its_destination(
    world: World,
) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    store, ref = world.services.store, evacuation.at(1)
    assert not store.is_bereft(ref)
    evacuation.to_authorized()
    assert store.call_off(ref)
    assert not store.is_bereft(ref), "what was taken from its source is not its own"
    revoke_at(world, "cmp-2")
    assert store.is_bereft(ref)
    evacuation.guest_gone()
    assert not store.is_bereft(ref)


def test_guest_that_was_migrated_without_its_disks_is_not_followed(world: World) -> None:
    revoke(world)
    plan = world.services.hosts.plan_follow(world.id_of("web-01"))
    guest = m.GuestState(instance_id=world.id_of("web-01"), epoch=1, power_state=RUNNING)
    reports = (there(world, without="web-01"), world.report("cmp-3", guests=(guest,)))
    with pytest.raises(NotMovedError, match="were taken away for good"):
        world.services.hosts.follow(m.FollowInstance(residence=plan.residence, reports=reports, who="ann"))
