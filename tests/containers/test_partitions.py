"""Workers that are alive and cut off the network."""

import json
import time

from tests.containers.plant import HEARTBEAT, HERD, WORD, Plant


def test_evacuations_recover_when_the_control_worker_was_cut_off(plant: Plant) -> None:
    to = plant.to
    plant.begin_and_hold(to)

    plant.machinery.cut("control")
    plant.faults()
    time.sleep(2 * HEARTBEAT)
    plant.machinery.join_elsewhere("control")

    plant.verify_recovered(to)


def test_evacuations_recover_when_the_destination_is_back_within_the_hold(plant: Plant) -> None:
    to = plant.to
    plant.begin_and_hold(to)

    plant.machinery.cut(to)
    plant.until_herd_is_at("settling")
    plant.faults()
    plant.machinery.join(to)

    plant.verify_recovered(to)


def test_evacuations_wait_in_the_open_when_the_destination_stays_cut_off(plant: Plant) -> None:
    to = plant.to
    plant.begin_and_hold(to)

    plant.machinery.cut(to)
    plant.until_herd_is_at("blocked")
    assert plant.commands.run("check --json").code == 0
    assert {plant.instance(name).task_state for name in HERD} == {"rebuild_spawning"}
    plant.faults()
    plant.machinery.join_elsewhere(to)

    plant.verify_recovered(to)


def test_evacuations_go_forward_when_the_guests_had_started_behind_the_partition(plant: Plant) -> None:
    to = plant.to
    plant.begin_and_hold(to, at="after")
    epochs = {name: plant.journal(name)[-1].epoch for name in HERD}

    plant.machinery.cut(to)
    plant.until_herd_is_at("blocked")
    plant.faults()
    plant.machinery.join(to)

    plant.verify_recovered(to)
    assert {name: plant.journal(name)[-1].epoch for name in HERD} == epochs


def test_evacuation_is_refused_when_the_source_is_cut_off_and_nobody_says_that_it_is_off(plant: Plant) -> None:
    source, name = plant.source, HERD[0]
    before = plant.instance(name)
    plant.machinery.cut(source)
    last = plant.journal(name)[-1]

    answer = plant.evacuate(name, "--json")

    assert answer.code == 2, answer
    assert json.loads(answer.out)["error_type"] == "SourceNotFencedError"
    assert plant.instance(name) == before
    plant.until(lambda: plant.journal(name)[-1].counter > last.counter, "the guest goes on writing")
    plant.restore()
    plant.verify_invariants()
    assert plant.writers(name)[-1] == source


def test_disk_lock_refuses_the_copy_when_the_source_is_said_to_be_off_and_lives(plant: Plant) -> None:
    source, before = plant.source, {name: plant.writers(name) for name in HERD}
    plant.machinery.cut(source)

    for name in HERD:
        answer = plant.evacuate(name, "--source-confirmed-off", WORD, "--json")
        assert answer.code == 1, answer
        assert (answer.json["outcome"], answer.json["error_type"]) == ("not_recovered", "DiskLockedError")
        assert (plant.instance(name).vm_state, plant.instance(name).host) == ("error", source)
    assert {name: plant.writers(name) for name in HERD} == before
    breaches = plant.commands.run("check --json")
    assert [(each["invariant"], each["subject"]) for each in breaches.json if each["subject"] == source] == [
        ("I2", source)
    ], breaches

    plant.machinery.join(source)
    plant.machinery.kill(source)
    plant.restore()
    plant.verify_invariants()
    assert {plant.instance(name).host for name in HERD} == {source}
