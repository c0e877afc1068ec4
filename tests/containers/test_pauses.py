"""Servers and hosts that stand still: their connections stay open, and nobody answers."""

import time

import pytest

from tests.containers.plant import HEARTBEAT, Plant

LONGER_THAN_ANY_CALL = 12.0
"""Seconds: the store gives up a statement after 10."""


@pytest.mark.parametrize("service", ["postgres", "temporal"])
def test_evacuations_recover_when_a_server_stands_still_during_the_spawn(plant: Plant, service: str) -> None:
    to = plant.to
    plant.begin_and_hold(to)

    plant.machinery.pause(service)
    plant.faults()
    time.sleep(LONGER_THAN_ANY_CALL)
    plant.machinery.unpause(service)

    plant.verify_recovered(to)


def test_evacuations_recover_when_postgresql_stands_still_at_every_step(plant: Plant) -> None:
    to = plant.to
    plant.begin(to)

    for _ in range(5):
        plant.machinery.pause("postgres")
        time.sleep(HEARTBEAT)
        plant.machinery.unpause("postgres")
        time.sleep(0.3)

    plant.verify_recovered(to)


def test_evacuations_recover_when_the_destination_stands_still_during_the_spawn(plant: Plant) -> None:
    to = plant.to
    plant.begin_and_hold(to)

    plant.machinery.pause(to)
    plant.until_herd_is_at("blocked")
    plant.faults()
    plant.machinery.unpause(to)

    plant.verify_recovered(to)
