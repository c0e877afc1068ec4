"""What the store takes as proof under a policy, and how far storage evidence goes."""

from collections.abc import Callable, Iterator

import pytest

from evacuation import messages as m
from evacuation.errors import ResidenceNotProvenError
from evacuation.fencing import FencingPolicy, disks_scope
from evacuation.fleet import Fleet
from evacuation.model import Evidence
from services.sql import SqlServices, open_services
from tests.integration.sql.world import HOSTS, World, evidence, host, instance

FLEET = Fleet.model_validate(
    {
        "hosts": [host(name) for name in HOSTS],
        "volumes": [{"name": name, "size_gb": 1} for name in ("root-1", "data-1", "root-2", "data-3")],
        "instances": [
            instance("web-01", root_disk="volume", volumes=["root-1", "data-1"]),
            instance("web-02", root_disk="volume", volumes=["root-2"]),
            instance("web-03", root_disk="shared", volumes=["data-3"]),
        ],
    }
)
Open = Callable[[str], World]


@pytest.fixture
def under(url: str) -> Iterator[Open]:
    """A world whose store has that policy."""
    opened: list[SqlServices] = []

    def open_world(policy: str) -> World:
        opened.append(open_services(url, FencingPolicy.parse(policy)))
        return World(opened[-1], FLEET)

    yield open_world
    for each in opened:
        each.close()


def ready(world: World, name: str = "web-01"):
    """An evacuation that only lacks the authorisation: its volumes are taken from the source and given to cmp-2."""
    evacuation = world.evacuation(name)
    evacuation.begin()
    evacuation.claim()
    evacuation.detach()
    evacuation.attach()
    return evacuation


def disks_of(world: World, name: str) -> list[tuple[str, str]]:
    mine = world.id_of(name)
    volumes = world.services.views.volumes()
    return [(v.id, a.id) for v in volumes for a in v.attachments if a.instance_id == mine]


def revoke(world: World, *disks: tuple[str, str], boot: str = "boot-1") -> Evidence:
    said = evidence("cmp-1", boot, "storage-revoked")
    return world.services.evidence.record_evidence(said.model_copy(update={"scope": disks_scope(disks)}))


def known(world: World, name: str) -> Evidence | None:
    return world.services.evidence.current_evidence("cmp-1", "boot-1", world.id_of(name))


def test_authorisation_takes_two_kinds_where_two_are_asked_for_and_records_both(under: Open):
    world = under("2 of power, operator")
    evacuation = ready(world)
    world.fence()
    with pytest.raises(ResidenceNotProvenError):
        evacuation.authorize()
    world.services.evidence.record_evidence(evidence(kind="operator"))
    proof = evacuation.authorize().evidence[0]
    assert [proof.kind, *(each.kind for each in proof.also)] == ["power-off", "operator"]
    residence = next(r for r in world.services.views.residences() if r.instance == "web-01" and r.epoch == 1)
    assert residence.proof is not None and "power-off" in residence.proof and "operator" in residence.proof


def test_kind_that_the_policy_does_not_name_proves_nothing(under: Open):
    world = under("1 of power, storage")
    world.services.evidence.record_evidence(evidence(kind="operator"))
    assert known(world, "web-01") is None


def test_storage_evidence_proves_a_guest_that_lost_every_disk(under: Open):
    world = under("1 of power, storage")
    disks = disks_of(world, "web-01")
    evacuation = ready(world)
    revoke(world, *disks)
    proof = evacuation.authorize().evidence[0]
    assert (proof.kind, proof.scope) == ("storage-revoked", disks_scope(disks))


def test_storage_evidence_proves_nothing_while_one_disk_is_missing_in_it(under: Open):
    world = under("1 of power, storage")
    first, second = disks_of(world, "web-01")
    evacuation = ready(world)
    revoke(world, first)
    with pytest.raises(ResidenceNotProvenError):
        evacuation.authorize()
    revoke(world, second)
    assert evacuation.authorize()


def test_storage_evidence_proves_nothing_of_a_guest_whose_root_disk_is_no_volume(under: Open):
    world = under("1 of power, storage")
    disks = disks_of(world, "web-03")
    ready(world, "web-03")
    revoke(world, *disks)
    assert known(world, "web-03") is None


def test_storage_evidence_proves_nothing_while_the_host_has_an_attachment(under: Open):
    world = under("1 of power, storage")
    revoke(world, *disks_of(world, "web-01"))
    assert known(world, "web-01") is None


def test_storage_evidence_of_long_ago_proves_nothing_while_a_later_attachment_is_being_taken_away(under: Open):
    """Somebody died between the store's word and the storage's: the export may still be open."""
    world = under("1 of power, storage")
    disks = disks_of(world, "web-01")
    revoke(world, *((volume, "of long ago") for volume, _ in disks))
    request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"))
    taken = world.services.exports.take_away(request)
    assert known(world, "web-01") is None
    assert world.services.evidence.open_fence(request) is None
    world.services.exports.record_revoked(request, taken)
    assert known(world, "web-01") is not None


def test_storage_evidence_about_one_guest_is_none_about_another_or_the_host(under: Open):
    world = under("1 of power, storage")
    disks = disks_of(world, "web-01")
    ready(world)
    revoke(world, *disks)
    assert known(world, "web-01") is not None
    assert known(world, "web-02") is None
    assert world.services.evidence.current_evidence("cmp-1", "boot-1") is None
    assert (world.host("cmp-1").state, world.host("cmp-1").fenced) == ("up", False)


def test_power_state_ends_with_the_proof_that_the_policy_asks_for(under: Open):
    world = under("2 of power, operator")
    world.fence()
    assert world.instance("web-01").power_state == "running"
    world.services.evidence.record_evidence(evidence(kind="operator"))
    assert world.instance("web-01").power_state == "nostate"


def test_power_state_ends_for_the_guest_alone_that_lost_its_disks(under: Open):
    world = under("1 of power, storage")
    disks = disks_of(world, "web-01")
    ready(world)
    revoke(world, *disks)
    assert [world.instance(name).power_state for name in ("web-01", "web-02")] == ["nostate", "running"]


def test_storage_evidence_adds_up_and_is_about_one_boot(under: Open):
    world = under("1 of power, storage")
    first, second = disks_of(world, "web-01")
    revoke(world, first)
    assert revoke(world, second).scope == disks_scope([first, second])
    assert revoke(world, first, boot="boot-2").scope == disks_scope([first])


def test_storage_evidence_stands_when_the_host_is_seen_alive(under: Open):
    world = under("1 of power, storage")
    disks = disks_of(world, "web-01")
    ready(world)
    revoke(world, *disks)
    world.services.evidence.void_evidence("cmp-1", "boot-1", "it answered")
    assert known(world, "web-01") is not None


def test_host_with_revoked_disks_can_come_back(under: Open):
    world = under("1 of power, storage")
    revoke(world, *disks_of(world, "web-02"))
    world.bring_up("cmp-1", "boot-1")
    assert world.host("cmp-1").state == "up"


def test_fence_is_open_until_the_policy_is_met(under: Open):
    world = under("2 of power, operator")
    request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=world.id_of("web-01"))
    world.fence()
    assert world.services.evidence.open_fence(request) is None
    world.services.evidence.record_evidence(evidence(kind="operator"))
    assert world.services.evidence.open_fence(request) is not None
