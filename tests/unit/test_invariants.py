"""Each invariant, broken by one change of a sound world; and what is no breach."""

from typing import Any

import pytest

from evacuation.invariants import World, find_breaches
from tests.unit.worlds import (
    allocation,
    attachment,
    binding,
    deleted,
    disk,
    ended,
    evacuation,
    guest,
    host,
    in_flight,
    instance,
    mapping,
    migration,
    outcome,
    port,
    residence,
    volume,
    world,
)

FAILED = outcome("web", "not_recovered", "cmp-2: no")
FENCED = (host("cmp-1", state="down", fenced=True), host("cmp-2"))
DOWN = (host("cmp-1", state="down"), host("cmp-2"))

SOUND: dict[str, World] = {
    "an instance at rest": world(),
    "a stopped instance": world(instances=(instance("web", "cmp-1", vm_state="stopped"),), guests=()),
    "a dead host that waits for its evacuation": world(boots={"cmp-1": None, "cmp-2": "boot of cmp-2"}, guests=()),
    "a dead host that boots and is not back yet": world(boots={"cmp-1": "new"}, guests=()),
    "a host that was fenced and is off": world(hosts=FENCED, boots={"cmp-1": None}, guests=()),
    "a stack that is down": world(boots={}, guests=(), running_workflows=None),
    "a guest paused on a host that is held": world(hosts=DOWN, guests=(guest("web", "cmp-1", writes=False),)),
    "a residence from before its host registered": world(residences=(residence("web", "cmp-1", incarnation=None),)),
    "another operation's task": world(instances=(instance("web", "cmp-1", task_state="rebooting"),), guests=()),
    "a deletion on its way": world(
        instances=(instance("web", "cmp-1", task_state="deleting"),),
        guests=(),
        running_workflows=frozenset({"id-web"}),
    ),
    "an evacuation on its way": in_flight("forward"),
    "an evacuation whose guest starts": in_flight("authorized"),
    "an evacuation that Temporal was not asked about": in_flight("forward", running_workflows=None),
    "a failed evacuation": ended(FAILED),
    "a cancelled evacuation": ended(outcome("web", "cancelled"), migrations=(migration("web", "cancelled"),)),
    "a deleted instance whose host is not back yet": deleted(),
}


@pytest.mark.parametrize("found", SOUND.values(), ids=list(SOUND))
def test_invariants_hold_with(found: World):
    assert find_breaches(found) == ()


I1 = {
    "two copies on one host": world(guests=(guest("web", "cmp-1"), guest("web", "cmp-1", pid=2))),
    "two places that nothing proves empty": world(residences=(residence("web", "cmp-1"), residence("web", "cmp-2", 2))),
    "a disk that two wrote to": world(disks=(disk("web", interleaved=("two",), lost=("some",)),)),
}
I2 = {
    "an epoch that no residence allows": world(guests=(guest("web", "cmp-1", 2),)),
    "a start before its authorisation": in_flight("forward", guests=(guest("web", "cmp-2", 2),)),
    "a guest in a boot that its residence is not of": world(
        hosts=(host("cmp-1", state="down", incarnation="new"), host("cmp-2")),
        guests=(guest("web", "cmp-1", incarnation="new"),),
    ),
    "a newer residence without the older one's proof": world(
        residences=(residence("web", "cmp-1"), residence("web", "cmp-2", 2, proof="gone"))
    ),
    "a guest that may run elsewhere than recorded": ended(
        FAILED, residences=(residence("web", "cmp-1", proof="power-off"), residence("web", "cmp-2", 2))
    ),
}
I3 = {
    "a task that nobody owns": world(instances=(instance("web", "cmp-1", task_state="rebuild_spawning"),)),
    "an evacuation that no workflow runs": in_flight("forward", running_workflows=frozenset[str]()),
    "a deletion that no workflow carries out": world(
        instances=(instance("web", "cmp-1", task_state="deleting"),), guests=(), running_workflows=frozenset[str]()
    ),
    "a deleted instance that runs on a host in service": deleted(
        guests=(guest("web", "cmp-1"),), boots={"cmp-1": "boot of cmp-1"}
    ),
    "an authorised one that no workflow runs, not started": in_flight(
        "authorized", guests=(), running_workflows=frozenset[str]()
    ),
    "an evacuation that ended without an outcome": ended(None, volumes=(), mappings=()),
    "an evacuation that failed without a reason": ended(outcome("web", "not_recovered")),
    "an active instance that does not run": world(guests=()),
    "an active instance that is paused": world(guests=(guest("web", "cmp-1", writes=False),)),
    "a stopped instance that runs": world(instances=(instance("web", "cmp-1", vm_state="stopped"),)),
}
I4 = {
    "an allocation elsewhere": world(allocations=(allocation("id-web", "cmp-2"),)),
    "an allocation on two hosts": world(allocations=(allocation("id-web", "cmp-1"), allocation("id-web", "cmp-2"))),
    "no allocation": world(allocations=()),
    "a port bound elsewhere": world(ports=(port("web", "cmp-2"),)),
    "a port that is not bound": world(ports=(port("web", None),)),
    "a binding left elsewhere": world(inactive_bindings=(binding("web", "cmp-2"),)),
    "a volume attached elsewhere": world(volumes=(volume("web", "in-use", attachment("web", "cmp-2")),)),
    "a volume reserved though nothing failed": world(volumes=(volume("web", "reserved", attachment("web", None)),)),
    "a volume reserved after a recovery": world(
        volumes=(volume("web", "reserved", attachment("web", None)),),
        evacuations=(evacuation("web", "closed", outcome("web", "recovered")),),
    ),
    "a block device without attachment": world(volumes=(volume("web", "available"),)),
    "a block device that points to another attachment": world(
        volumes=(volume("web", "in-use", attachment("web", "cmp-1", key="b")),)
    ),
    "a second attachment": ended(
        FAILED, volumes=(volume("web", "reserved", attachment("web", None), attachment("web", None, key="b")),)
    ),
    "a migration that nobody owns": world(migrations=(migration("web", "accepted"),)),
    "a deleted instance with an allocation": deleted(allocations=(allocation("id-web", "cmp-1"),)),
    "a deleted instance with a port": deleted(ports=(port("web", None),)),
    "a deleted instance with a volume": deleted(volumes=(volume("web", "reserved", attachment("web", None)),)),
}
I7 = {
    "a disk that is gone": world(disks=(disk("web", exists=False),)),
    "a write that is lost": world(disks=(disk("web", lost=("counter 3 is followed by 5",)),)),
}
I8 = {
    "a started guest that no workflow takes forward": in_flight("authorized", running_workflows=frozenset[str]()),
}
BROKEN = {"I1": I1, "I2": I2, "I3": I3, "I4": I4, "I7": I7, "I8": I8}


@pytest.mark.parametrize(
    ("invariant", "found"),
    [pytest.param(key, found, id=f"{key} {what}") for key, worlds in BROKEN.items() for what, found in worlds.items()],
)
def test_invariant_is_broken_by(invariant: str, found: World):
    assert broken(found) == {(invariant, "web")}


OTHERS: dict[str, tuple[World, set[tuple[str, str]]]] = {
    "two copies on two hosts": (
        world(guests=(guest("web", "cmp-1"), guest("web", "cmp-2"))),
        {("I1", "web"), ("I2", "web")},
    ),
    "a guest that lives behind its fence": (world(hosts=FENCED), {("I2", "cmp-1")}),
    "a paused guest behind its fence": (
        world(hosts=FENCED, guests=(guest("web", "cmp-1", writes=False),)),
        {("I2", "cmp-1")},
    ),
    "a volume whose status is not its attachments'": (
        world(volumes=(volume("web", "available", attachment("web", "cmp-1")),)),
        {("I4", "data-web")},
    ),
    "an allocation of nobody": (
        world(allocations=(allocation("id-web", "cmp-1"), allocation("nobody", "cmp-2"))),
        {("I4", "nobody")},
    ),
    "a source's allocation kept after the end": (
        world(
            allocations=(allocation("id-web", "cmp-1"), allocation("migration-web", "cmp-2")),
            migrations=(migration("web", "done"),),
        ),
        {("I4", "migration-web")},
    ),
    "a host with more allocated than it has": (
        world(hosts=(host("cmp-1", vcpus_used=9, memory_mb_used=9, disk_gb_used=9), host("cmp-2"))),
        {("I4", "cmp-1")},
    ),
    "more starts than the destination's cap": (in_flight("authorized", caps={"cmp-2": 0}), {("I5", "cmp-2")}),
}


@pytest.mark.parametrize(("found", "expected"), OTHERS.values(), ids=list(OTHERS))
def test_breach_names_the_subject_of(found: World, expected: set[tuple[str, str]]):
    assert broken(found) == expected


def broken(found: World) -> set[tuple[str, str]]:
    return {(breach.invariant, breach.subject) for breach in find_breaches(found)}


def test_breach_says_in_one_line_what_is_wrong_and_what_to_do():
    wrong: list[Any] = [found for worlds in BROKEN.values() for found in worlds.values()]
    for breach in (breach for found in wrong for breach in find_breaches(found)):
        assert breach.message and breach.remedy
        assert "\n" not in breach.message + breach.remedy


def test_breaches_come_in_the_order_of_the_invariants():
    found = find_breaches(world(guests=(guest("web", "cmp-2", 5),), disks=(disk("web", exists=False),), ports=()))
    assert [breach.invariant for breach in found] == sorted(breach.invariant for breach in found)


def test_disk_of_which_nobody_knows_the_instance_is_named_by_its_id():
    assert broken(world(disks=(disk("ghost", exists=False),))) == {("I7", "id-ghost")}


def test_mapping_to_a_volume_of_another_service_is_not_judged():
    assert broken(world(mappings=(mapping("web"), mapping("elsewhere")))) == set()
