"""What every hypervisor promises, asked of each of them."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from evacuation import messages as m
from evacuation.errors import DestinationUnableError, DiskLockedError, NobodyWaitsError, StaleEpochError
from evacuation.model import PowerState, RootDisk
from tests.integration.hypervisors.worlds import INSTANCE, OTHER, LibvirtWorld, World, call, spawn, spec

DISK = m.GuestDisk(volume_id="volume-1", device="vdb", attachment_id="attachment-1")


def running(epoch: int) -> m.GuestState:
    return m.GuestState(instance_id=INSTANCE, epoch=epoch, power_state=PowerState.RUNNING)


def shut_down(epoch: int) -> m.GuestState:
    return m.GuestState(instance_id=INSTANCE, epoch=epoch, power_state=PowerState.SHUTDOWN)


def nobody_waits() -> None:
    raise NobodyWaitsError("the activity is over")


def prepare(epoch: int, root_disk: RootDisk = RootDisk.SHARED) -> m.PrepareDestination:
    about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
    return m.PrepareDestination(call=about, instance_id=INSTANCE, name="web-01", epoch=epoch, root_disk=root_disk)


def connect(epoch: int) -> m.ConnectVolumes:
    about = m.HostCall(host="cmp-1", hypervisor_uuid=None, incarnation=None)
    return m.ConnectVolumes(call=about, instance_id=INSTANCE, epoch=epoch, disks=(DISK,))


def test_spawn_finds_the_guest_when_it_runs_already(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    assert spawn(hypervisor, spec(1)) == running(1)
    assert spawn(hypervisor, spec(1)) == running(1)
    assert hypervisor.inventory() == (running(1),)


def test_spawn_beats_before_it_answers(world: World) -> None:
    beats: list[str] = []
    world.hypervisor("cmp-1").spawn(spec(1), last_look=lambda: None, beat=beats.append)
    assert beats[-1] == "web-01 is up"


def test_spawn_only_defines_when_the_instance_is_to_be_stopped(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    assert spawn(hypervisor, spec(1, power_state=PowerState.SHUTDOWN)) == shut_down(1)
    assert hypervisor.inventory() == (shut_down(1),)
    assert hypervisor.settle(call(1, power_state=PowerState.SHUTDOWN))


def test_spawn_leaves_nothing_when_nobody_waits(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    for power_state in (PowerState.RUNNING, PowerState.SHUTDOWN):
        with pytest.raises(NobodyWaitsError):
            hypervisor.spawn(spec(1, power_state=power_state), last_look=nobody_waits, beat=lambda _: None)
        assert hypervisor.inventory() == ()


def test_spawn_refuses_when_a_guest_of_another_epoch_runs(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(2))
    for epoch in (1, 3):
        with pytest.raises(DestinationUnableError, match="epoch 2"):
            spawn(hypervisor, spec(epoch))
        with pytest.raises(DestinationUnableError, match="epoch 2"):
            hypervisor.prepare(prepare(epoch))
    assert hypervisor.inventory() == (running(2),)


def test_spawn_replaces_what_an_older_epoch_left_defined(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(1, power_state=PowerState.SHUTDOWN))
    spawn(hypervisor, spec(2))
    assert hypervisor.inventory() == (running(2),)


def test_spawn_refuses_an_epoch_when_it_was_destroyed_before(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    hypervisor.destroy(INSTANCE, 4)
    for epoch in (3, 4):
        with pytest.raises(StaleEpochError):
            spawn(hypervisor, spec(epoch))
    assert hypervisor.inventory() == ()
    assert spawn(hypervisor, spec(5)) == running(5)


def test_spawn_refuses_when_the_disk_is_locked_on_another_host(world: World) -> None:
    if isinstance(world, LibvirtWorld):
        pytest.skip("the test driver opens no disk: tests/libvirt does")
    first, second = world.hypervisor("cmp-1"), world.hypervisor("cmp-2")
    spawn(first, spec(1))
    with pytest.raises(DiskLockedError):
        spawn(second, spec(2))
    assert second.inventory() == ()
    first.destroy(INSTANCE, 1)
    assert spawn(second, spec(2)) == running(2)


def test_settle_goes_forward_when_the_guest_is_as_wanted(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    assert hypervisor.settle(call(1))
    assert hypervisor.inventory() == (running(1),)


def test_settle_destroys_when_the_guest_is_in_another_power_state(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    assert not hypervisor.settle(call(1, power_state=PowerState.SHUTDOWN))
    spawn(hypervisor, spec(2, power_state=PowerState.SHUTDOWN))
    assert not hypervisor.settle(call(2))
    assert hypervisor.inventory() == ()


def test_settle_leaves_no_way_back_when_the_guest_is_not_there(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    assert not hypervisor.settle(call(1))
    with pytest.raises(StaleEpochError):
        spawn(hypervisor, spec(1))


def test_settle_leaves_a_newer_guest_when_asked_about_an_older_one(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(3))
    assert not hypervisor.settle(call(2))
    assert hypervisor.inventory() == (running(3),)


def test_destroy_leaves_a_newer_guest_when_its_epoch_is_older(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(3))
    hypervisor.destroy(INSTANCE, 2)
    assert hypervisor.inventory() == (running(3),)
    assert spawn(hypervisor, spec(3)) == running(3)


def test_destroy_is_done_when_repeated(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    hypervisor.destroy(INSTANCE, 1)
    hypervisor.destroy(INSTANCE, 1)
    assert hypervisor.inventory() == ()


def test_pause_shows_in_the_inventory_and_ends_when_spawned_again(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    hypervisor.pause(INSTANCE, 2)
    assert hypervisor.inventory() == (running(1),)
    hypervisor.pause(INSTANCE, 1)
    assert hypervisor.inventory() == (running(1).model_copy(update={"paused": True}),)
    with pytest.raises(NobodyWaitsError):
        hypervisor.spawn(spec(1), last_look=nobody_waits, beat=lambda _: None)
    assert hypervisor.inventory()[0].paused
    spawn(hypervisor, spec(1))
    assert hypervisor.inventory() == (running(1),)


def test_settle_destroys_a_guest_when_it_is_paused(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(1))
    hypervisor.pause(INSTANCE, 1)
    assert not hypervisor.settle(call(1))
    assert hypervisor.inventory() == ()


def test_prepare_answers_with_the_hosts_connector_when_able(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    connector = hypervisor.prepare(prepare(1))
    assert (connector.host, connector.incarnation) == ("cmp-1", hypervisor.identity().incarnation)


def test_prepare_refuses_when_the_root_disk_is_local(world: World) -> None:
    with pytest.raises(DestinationUnableError, match="shared storage"):
        world.hypervisor("cmp-1").prepare(prepare(1, RootDisk.LOCAL))


def test_connect_volumes_refuses_when_that_epoch_was_disconnected(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    hypervisor.connect_volumes(connect(1))
    hypervisor.connect_volumes(connect(1))
    hypervisor.disconnect_volumes(call(1))
    hypervisor.disconnect_volumes(call(1))
    with pytest.raises(StaleEpochError):
        hypervisor.connect_volumes(connect(1))
    hypervisor.connect_volumes(connect(2))
    hypervisor.destroy(INSTANCE, 3)
    with pytest.raises(StaleEpochError):
        hypervisor.connect_volumes(connect(3))


def test_spawn_and_destroy_end_with_no_guest_when_they_race(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    with ThreadPoolExecutor(8) as pool:
        for epoch in range(1, 6):
            spawns = [pool.submit(spawn, hypervisor, spec(epoch)) for _ in range(3)]
            destroys = [pool.submit(hypervisor.destroy, INSTANCE, epoch) for _ in range(2)]
            wait(spawns)
            wait(destroys)
            assert {type(each.exception()) for each in destroys} == {type(None)}
            assert {type(each.exception()) for each in spawns} <= {type(None), StaleEpochError}
            assert hypervisor.inventory() == ()


def test_guests_of_different_instances_do_not_wait_for_each_other(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")

    def spawn_the_other() -> None:
        assert spawn(hypervisor, spec(1, instance_id=OTHER)).instance_id == OTHER

    hypervisor.spawn(spec(1), last_look=spawn_the_other, beat=lambda _: None)
    assert len(hypervisor.inventory()) == 2


def test_identity_is_the_same_when_asked_again(world: World) -> None:
    assert world.hypervisor("cmp-1").identity() == world.hypervisor("cmp-1").identity()
    assert world.hypervisor("cmp-1").identity().hypervisor_uuid != world.hypervisor("cmp-2").identity().hypervisor_uuid


def test_buried_epoch_is_spawned_and_connected_no_more_and_what_runs_is_left_alone(world: World) -> None:
    hypervisor = world.hypervisor("cmp-1")
    spawn(hypervisor, spec(2))
    for epoch in (4, 3):
        hypervisor.bury(INSTANCE, epoch)
    assert hypervisor.inventory() == (running(2),)
    hypervisor.destroy(INSTANCE, 2)
    for epoch in (3, 4):
        with pytest.raises(StaleEpochError):
            spawn(hypervisor, spec(epoch))
        with pytest.raises(StaleEpochError):
            hypervisor.connect_volumes(connect(epoch))
    assert spawn(hypervisor, spec(5)) == running(5)


def test_host_says_of_which_memory_it_is_the_worker(world: World) -> None:
    first, second = world.hypervisor("cmp-1"), world.hypervisor("cmp-2")
    assert first.identity().memory is not None
    assert first.identity().memory == world.hypervisor("cmp-1").identity().memory != second.identity().memory
