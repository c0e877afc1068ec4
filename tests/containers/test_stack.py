"""The deployed parts together: image, migration, workers, simulated hosts, and what an operator does when one dies."""

import json

import pytest

from tests.containers.stack import Stack

WORD = "killed its container"


@pytest.fixture(scope="module")
def dead_source(stack: Stack) -> Stack:
    """The stack after the power loss of sim-1."""
    stack.kill("sim-1")
    return stack


def test_evacuation_is_refused_while_the_source_answers(stack: Stack) -> None:
    done = stack.operator("instance", "evacuate", "bystander", "--source-confirmed-off", WORD, "--json")

    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["error_type"] == "SourceAnswersError"


def test_evacuation_recovers_an_instance_when_its_host_dies(dead_source: Stack) -> None:
    done = dead_source.operator("instance", "evacuate", "with-volume", "--source-confirmed-off", WORD, "--json")

    assert done.returncode == 0, done.stderr + dead_source.logs()
    outcome = json.loads(done.stdout)
    assert outcome["outcome"] == "recovered"
    assert outcome["destination"] in {"sim-2", "sim-3"}
    found = dead_source.instance("with-volume")
    assert (found.host, found.vm_state, found.power_state) == (outcome["destination"], "active", "running")
    ports = dead_source.ask_store(lambda services: services.views.ports())
    volumes = dead_source.ask_store(lambda services: services.views.volumes())
    assert {port.host for port in ports if port.instance_id == found.id} == {found.host}
    assert [attachment.host for volume in volumes for attachment in volume.attachments] == [found.host]


def test_evacuation_leaves_a_stopped_instance_stopped_when_its_host_is_dead(dead_source: Stack) -> None:
    done = dead_source.operator("instance", "evacuate", "stopped", "--source-confirmed-off", WORD, "--json")

    assert done.returncode == 0, done.stderr + dead_source.logs()
    found = dead_source.instance("stopped")
    assert (found.vm_state, found.power_state) == ("stopped", "shutdown")


@pytest.mark.parametrize("service", ["control", "postgres", "temporal"])
def test_evacuation_recovers_when_a_service_is_killed_during_the_spawn(dead_source: Stack, service: str) -> None:
    name = f"without-{service}"
    begun = dead_source.operator("instance", "evacuate", name, "--source-confirmed-off", WORD, "--no-wait")
    assert begun.returncode == 0, begun.stderr + dead_source.logs()
    dead_source.until(name, lambda instance: instance.task_state == "rebuild_spawning")

    dead_source.kill(service)
    dead_source.start(service)

    found = dead_source.until(name, lambda instance: instance.task_state is None)
    assert (found.vm_state, found.power_state, found.fault) == ("active", "running", None)
    assert found.host in {"sim-2", "sim-3"}


def test_check_names_no_breach_when_a_host_is_dead(dead_source: Stack) -> None:
    done = dead_source.operator("check")

    assert done.returncode == 0, done.stdout + done.stderr


def test_host_comes_back_as_itself_when_its_container_is_made_anew(dead_source: Stack) -> None:
    before = dead_source.host("sim-1")

    dead_source.compose("rm", "--stop", "--force", "sim-1").check_returncode()
    done = dead_source.compose("up", "--detach", "--wait", "--no-deps", "sim-1")

    assert done.returncode == 0, done.stderr + dead_source.logs()
    after = dead_source.host("sim-1")
    assert (after.state, after.hypervisor_uuid) == ("up", before.hypervisor_uuid)
    assert after.incarnation != before.incarnation
    assert dead_source.operator("check").returncode == 0
