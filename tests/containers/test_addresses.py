"""Killed, and started under another address; removed, and made again: the name is all that stays."""

import pytest

from tests.containers.plant import Plant

WAIT = ("--wait-for-capacity", "60s")
"""Its target may be booting just when the next attempt is due: until it is up it fits nobody."""


@pytest.mark.parametrize("service", ["postgres", "temporal", "control"])
def test_evacuations_recover_when_a_service_comes_back_under_another_address(plant: Plant, service: str) -> None:
    to = plant.to
    plant.begin_and_hold(to)

    plant.machinery.move(service)
    plant.faults()

    plant.verify_recovered(to)


def test_evacuations_recover_when_the_destination_boots_under_another_address(plant: Plant) -> None:
    to = plant.to
    before = plant.stack.host(to)
    plant.begin_and_hold(to, options=WAIT)

    plant.machinery.move(to)
    plant.faults()

    plant.verify_recovered(to)
    assert plant.stack.host(to).incarnation != before.incarnation


def test_host_keeps_its_identity_when_its_container_is_made_anew(plant: Plant) -> None:
    to = plant.to
    before, hostname = plant.stack.host(to), plant.machinery.hostname(to)
    plant.begin_and_hold(to, options=WAIT)

    plant.machinery.kill(to)
    plant.stack.compose("rm", "--force", to).check_returncode()
    plant.stack.compose("up", "--detach", "--no-deps", to).check_returncode()
    plant.faults()

    plant.verify_recovered(to)
    after = plant.stack.host(to)
    assert plant.machinery.hostname(to) != hostname
    assert after.hypervisor_uuid == before.hypervisor_uuid
    assert after.incarnation != before.incarnation


def test_evacuations_recover_when_the_control_workers_container_is_made_anew(plant: Plant) -> None:
    to = plant.to
    plant.begin_and_hold(to)

    plant.stack.compose("rm", "--stop", "--force", "control").check_returncode()
    plant.stack.compose("up", "--detach", "--no-deps", "control").check_returncode()
    plant.faults()

    plant.verify_recovered(to)
