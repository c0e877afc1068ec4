"""What a deleted instance's guest may still write to stays reserved until that guest is proven gone."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from evacuation import messages as m
from evacuation.model import PowerReading
from tests.integration.sql.world import World, evidence


def volumes(world: World) -> set[tuple[str, int]]:
    return {(volume.status, len(volume.attachments)) for volume in world.services.views.volumes()}


@pytest.fixture
def silent(world: World) -> World:
    """web-01 is deleted, and its host did not answer."""
    world.services.hosts.plan_deletion(world.id_of("web-01"))
    world.services.hosts.record_deleted(None, world.id_of("web-01"))
    return world


def guest(world: World, boot: str = "boot-1") -> m.HostGuest:
    return m.HostGuest(host="cmp-1", incarnation=boot, instance_id=world.id_of("web-01"), epoch=1)


def destroyed_there(world: World) -> object:
    return world.services.hosts.record_destroyed(guest(world, "boot-2"))


def destroyed_by_a_deletion_that_is_asked_for_again(world: World) -> object:
    return world.services.hosts.record_deleted(guest(world), world.id_of("web-01"))


def said_to_be_off(world: World) -> object:
    """After the power was read, as it is before a word is taken."""
    world.services.evidence.record_reading("cmp-1", PowerReading.OFF, datetime.now(UTC))
    return world.services.evidence.record_evidence(evidence(kind="operator"))


def cut(world: World) -> object:
    return world.services.evidence.end_cut("cmp-1", "me", (evidence(),))


def booted_again_and_asked_for_again(world: World) -> object:
    world.services.hosts.register(world.report("cmp-1", "boot-2"))
    return world.services.hosts.record_deleted(None, world.id_of("web-01"))


GONE = (
    destroyed_there,
    destroyed_by_a_deletion_that_is_asked_for_again,
    said_to_be_off,
    cut,
    booted_again_and_asked_for_again,
)


@pytest.mark.parametrize("proof", GONE)
def test_volume_is_reserved_while_the_deleted_guest_may_write_to_it(
    silent: World, proof: Callable[[World], object]
) -> None:
    assert volumes(silent) == {("reserved", 1)}
    assert (silent.instance().vm_state, silent.allocations(), silent.services.views.ports()) == ("deleted", set(), ())
    proof(silent)
    assert volumes(silent) == {("available", 0)}
    assert all(each.proof for each in silent.services.views.residences() if each.instance == "web-01")


def test_word_about_another_host_or_another_boot_gives_nothing_back(silent: World) -> None:
    for host, boot in (("cmp-2", "boot-1"), ("cmp-1", "boot-0")):
        silent.services.evidence.record_evidence(evidence(host, boot))
        assert volumes(silent) == {("reserved", 1)}


def test_evacuation_that_is_undone_for_a_deletion_leaves_the_volume_reserved_while_nothing_proves_the_source_off(
    world: World,
) -> None:
    evacuation = world.evacuation()
    evacuation.begin()
    world.services.hosts.plan_deletion(world.id_of("web-01"))
    evacuation.abandon(attempt=0, deleted=True)
    assert volumes(world) == {("reserved", 1)}
    world.fence()
    assert volumes(world) == {("available", 0)}
