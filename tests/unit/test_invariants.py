"""Each invariant, broken by one change of a sound world; and what is no breach."""

from typing import Any

import pytest

from evacuation.invariants import RULES, SeenWrite, World, find_breaches
from evacuation.ledger import LedgerMark, Witness
from tests.unit.worlds import (
    EARLIER,
    LATER,
    action,
    allocation,
    attachment,
    attempt,
    binding,
    deleted,
    disk,
    ended,
    evacuation,
    flaw,
    guest,
    host,
    in_flight,
    instance,
    mapping,
    migration,
    port,
    residence,
    sighting,
    volume,
    world,
    writes,
)

FAILED = "not_recovered"
FENCED = (host("cmp-1", state="down", fenced=True), host("cmp-2"))
DOWN = (host("cmp-1", state="down"), host("cmp-2"))
BACK = (host("cmp-1", incarnation="another"), host("cmp-2"))
FENCED_BEFORE = (host("cmp-1", state="down", fenced=True, fenced_since=EARLIER), host("cmp-2"))
FENCED_LATER = (host("cmp-1", state="down", fenced=True, fenced_since=LATER), host("cmp-2"))


def two_of_a_group(policy: str, *on: str) -> dict[str, Any]:
    """web and db, and nothing else of them that a rule could name."""
    names = ("web", "db")
    return {
        "instances": tuple(instance(n, h, server_group="pair") for n, h in zip(names, on, strict=True)),
        "allocations": tuple(allocation(f"id-{n}", h) for n, h in zip(names, on, strict=True)),
        "residences": tuple(residence(n, h) for n, h in zip(names, on, strict=True)),
        "guests": tuple(guest(n, h) for n, h in zip(names, on, strict=True)),
        "groups": {"pair": policy},
    }


def two_that_write(one: SeenWrite, other: SeenWrite, **differs: Any) -> World:
    """web on cmp-1 and db on cmp-2, each with one disk that it writes to."""
    usual = two_of_a_group("soft-affinity", "cmp-1", "cmp-2")
    guests = (guest("web", "cmp-1", disks=(one,)), guest("db", "cmp-2", disks=(other,)))
    return world(**(usual | {"guests": guests} | differs))


def recovered(status: str = "done", **differs: Any) -> World:
    """It was evacuated from cmp-1 to cmp-2."""
    usual = {
        "hosts": FENCED,
        "instances": (instance("web", "cmp-2", epoch=2, last_evacuation_id="evacuation-web"),),
        "allocations": (allocation("id-web", "cmp-2"),),
        "ports": (port("web", "cmp-2"),),
        "volumes": (volume("web", "in-use", attachment("web", "cmp-2")),),
        "residences": (residence("web", "cmp-1", proof="power-off"), residence("web", "cmp-2", 2)),
        "evacuations": (evacuation("web", "closed", "recovered"),),
        "migrations": (migration("web", status),),
        "boots": {"cmp-1": None, "cmp-2": "boot of cmp-2"},
        "guests": (guest("web", "cmp-2", 2),),
    }
    return world(**(usual | differs))


def left_by_a_storage_fence(state: str) -> World:
    """It runs on cmp-2, and what it was on cmp-1 can write to nothing any more."""
    return recovered(
        hosts=(host("cmp-1", state=state), host("cmp-2")),
        residences=(residence("web", "cmp-1", proof="storage-revoked"), residence("web", "cmp-2", 2)),
        boots={"cmp-1": "boot of cmp-1", "cmp-2": "boot of cmp-2"},
        guests=(guest("web", "cmp-1"), guest("web", "cmp-2", 2)),
        returning=frozenset({"cmp-1"}),
    )


SOUND: dict[str, World] = {
    "an instance at rest": world(),
    "a stopped instance": world(instances=(instance("web", "cmp-1", vm_state="stopped"),), guests=()),
    "a dead host that waits for its evacuation": world(boots={"cmp-1": None, "cmp-2": "boot of cmp-2"}, guests=()),
    "a dead host that boots and is not back yet": world(boots={"cmp-1": "new"}, guests=()),
    "a guest that was seen in a boot that is over": world(sightings=(sighting("web", "cmp-2", incarnation="before"),)),
    "a guest that was seen where its residence has come since": world(sightings=(sighting("web", "cmp-1"),)),
    "a guest that was seen on a host that is looked at, and has it no more": world(
        sightings=(sighting("web", "cmp-2"),), boots={"cmp-1": "boot of cmp-1", "cmp-2": "boot of cmp-2"}
    ),
    "a guest that was seen on a host that comes back": world(
        sightings=(sighting("web", "cmp-2"),), returning=frozenset({"cmp-2"})
    ),
    "a host that was fenced and is off": world(hosts=FENCED, boots={"cmp-1": None}, guests=()),
    "a stack that is down": world(boots={}, guests=(), running_workflows=None),
    "a guest paused on a host that is held": world(
        hosts=DOWN, guests=(guest("web", "cmp-1", writes=False),), returning=frozenset({"cmp-1"})
    ),
    "a host that is down, and Temporal was not asked about its return": world(hosts=DOWN, returning=None),
    "a host whose power is being cut": world(hosts=DOWN, being_cut=frozenset({"cmp-1"})),
    "a host from which an evacuation is held": in_flight(
        "forward", hosts=DOWN, boots={"cmp-1": "boot of cmp-1", "cmp-2": "boot of cmp-2"}
    ),
    "a residence from before its host registered": world(
        hosts=(host("cmp-1", state="down", incarnation=None), host("cmp-2")),
        residences=(residence("web", "cmp-1", incarnation=None),),
    ),
    "a host whose hypervisor the store does not know yet": world(
        hosts=(host("cmp-1", hypervisor_uuid=None), host("cmp-2")), identities={"cmp-1": "its own"}
    ),
    "a fleet that was loaded with an instance in error": world(
        instances=(instance("web", "cmp-1", vm_state="error"),), loaded_in_error=frozenset({"web"})
    ),
    "a group whose other member is on a dead host": world(
        hosts=(host("cmp-1"), host("cmp-2", state="down", fenced=True)),
        **(two_of_a_group("affinity", "cmp-1", "cmp-2") | {"guests": (guest("web", "cmp-1"),)}),
        boots={"cmp-1": "boot of cmp-1", "cmp-2": None},
    ),
    "a fleet that was loaded with a policy that did not hold": world(
        **two_of_a_group("anti-affinity", "cmp-1", "cmp-1"),
        loaded_members=dict.fromkeys(("web", "db"), ("cmp-1", "pair", "anti-affinity")),
    ),
    "a soft policy that could not be kept": world(**two_of_a_group("soft-anti-affinity", "cmp-1", "cmp-1")),
    "a guest from before Evacuate, which has no mark yet": world(guests=(guest("web", "cmp-1", 0),)),
    "a guest whose process nobody sees": world(guests=(guest("web", "cmp-1", pid=None, state="running"),)),
    "a live migration that has not arrived": world(
        guests=(guest("web", "cmp-1"), guest("web", "cmp-2", writes=False, state="migrating"))
    ),
    "a disk that two may write to, as both say": two_that_write(
        writes("/san/a", shareable=True), writes("/san/a", shareable=True)
    ),
    "one path on two hosts that is two disks": two_that_write(
        writes("/local/a", seen_from="cmp-1"), writes("/local/a", seen_from="cmp-2")
    ),
    "two disks of a stranger": world(strangers=(guest("other", "cmp-2", 0, disks=(writes("/san/b"),)),)),
    "a guest whose disks were taken away, on a host that nobody has switched off": left_by_a_storage_fence("down"),
    "a host that nobody has seen": world(guests=(), boots={}, identities={}),
    "an evacuation that ended well": recovered(),
    "an evacuation that ended well, and its source is back": recovered("completed", hosts=BACK),
    "a source that was fenced again after it was back": recovered("completed", hosts=FENCED_LATER),
    "an evacuation whose records are gone with time": recovered(evacuations=(), migrations=(), attempts=(), actions=()),
    "another operation's task": world(instances=(instance("web", "cmp-1", task_state="rebooting"),), guests=()),
    "a deletion on its way": world(
        instances=(instance("web", "cmp-1", task_state="deleting"),),
        guests=(),
        running_workflows=frozenset({"id-web"}),
    ),
    "an evacuation on its way": in_flight("forward"),
    "an evacuation whose guest starts": in_flight("authorized"),
    "an evacuation whose guest has started": in_flight("started"),
    "one that has started no longer counts against its destination's cap": in_flight(
        "started", hosts=(FENCED[0], host("cmp-2", max_evacuations=0))
    ),
    "an evacuation that Temporal was not asked about": in_flight("forward", running_workflows=None),
    "a failed evacuation": ended(FAILED),
    "a cancelled evacuation": ended("cancelled", migrations=(migration("web", "cancelled"),)),
    "a deleted instance whose host is not back yet": deleted(),
    "a volume that a deleted instance's guest may still write to": deleted(
        volumes=(volume("web", "reserved", attachment("web", None)),)
    ),
}


@pytest.mark.parametrize("found", SOUND.values(), ids=list(SOUND))
def test_invariants_hold_with(found: World):
    assert find_breaches(found) == ()


OLD_COPY = guest("other", "cmp-2", 0, disks=(writes("/san/a"),)).model_copy(update={"name": "old-copy"})
I1 = {
    "two copies on one host": world(guests=(guest("web", "cmp-1"), guest("web", "cmp-1", pid=2))),
    "two places that nothing proves empty": world(
        instances=(instance("web", "cmp-1", epoch=2),),
        residences=(residence("web", "cmp-1"), residence("web", "cmp-2", 2)),
    ),
    "a disk that two wrote to": world(disks=(disk("web", interleaved=("two",), lost=("some",)),)),
}
I2 = {
    "a guest of an older epoch": world(
        instances=(instance("web", "cmp-1", epoch=2),),
        residences=(residence("web", "cmp-2", proof="power-off"), residence("web", "cmp-1", 2)),
        guests=(guest("web", "cmp-1", 1),),
    ),
    "a guest that was moved to another host by hand": world(guests=(guest("web", "cmp-2", 1),)),
    "a guest without a mark beside a later epoch's place": world(
        instances=(instance("web", "cmp-1", epoch=2),),
        residences=(residence("web", "cmp-2", proof="power-off"), residence("web", "cmp-1", 2)),
        guests=(guest("web", "cmp-1", 0),),
    ),
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
    "an evacuation that failed without a reason": ended(
        FAILED, evacuations=(evacuation("web", "closed", FAILED, has_reason=False),)
    ),
    "an active instance that does not run": world(guests=()),
    "a start that nobody carries out": world(
        instances=(instance("web", "cmp-1", task_state="powering-on"),), running_workflows=frozenset[str]()
    ),
    "a stop that nobody carries out": world(
        instances=(instance("web", "cmp-1", task_state="powering-off"),), running_workflows=frozenset[str]()
    ),
    "an active instance that is paused": world(guests=(guest("web", "cmp-1", writes=False),)),
    "an active instance whose guest crashed": world(guests=(guest("web", "cmp-1", writes=False, state="crashed"),)),
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
        evacuations=(evacuation("web", "closed", "recovered", destination="cmp-1"),),
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
    "a deleted instance with a volume that it is attached to": deleted(
        volumes=(volume("web", "in-use", attachment("web", "cmp-1")),)
    ),
    "a deleted instance with a volume that nothing can write to any more": deleted(
        volumes=(volume("web", "reserved", attachment("web", None)),),
        residences=(residence("web", "cmp-1", proof="power-off"),),
    ),
}
I7 = {
    "a disk that is gone": world(disks=(disk("web", exists=False),)),
    "a disk that is gone after its guest has run": world(
        disks=(disk("web", exists=False),),
        instances=(instance("web", "cmp-1", vm_state="stopped"),),
        residences=(residence("web", "cmp-1", started=True),),
        guests=(),
    ),
    "a disk that began again with a later guest": world(
        residences=(residence("web", "cmp-2", proof="off", started=True), residence("web", "cmp-1", 3)),
        instances=(instance("web", "cmp-1", epoch=3),),
        guests=(guest("web", "cmp-1", 3),),
        disks=(disk("web", begins=(1, 3)),),
    ),
    "a disk with nothing on it after its guest has run": world(residences=(residence("web", "cmp-1", started=True),)),
    "a disk whose beginning is cut off": world(disks=(disk("web", begins=(7, 1)),)),
    "a write that is lost": world(disks=(disk("web", lost=("counter 3 is followed by 5",)),)),
}
I8 = {
    "a started guest that no workflow takes forward": in_flight("authorized", running_workflows=frozenset[str]()),
    "a recorded start that no workflow takes forward, on a host that cannot be seen": in_flight(
        "started", guests=(), running_workflows=frozenset[str]()
    ),
}
I2 |= {
    "an epoch below the one that was given": world(instances=(instance("web", "cmp-1", epoch=0),)),
    "a residence of another boot of a host that is up": world(
        residences=(residence("web", "cmp-1", incarnation="another"),), guests=(), boots={}
    ),
    "a stopped one whose only place is proven empty": world(
        instances=(instance("web", "cmp-1", vm_state="stopped"),),
        residences=(residence("web", "cmp-1", proof="gone"),),
        guests=(),
    ),
    "an authorised attempt without its residence": in_flight(
        "authorized", residences=(residence("web", "cmp-1", proof="power-off"),), guests=()
    ),
    "an authorised attempt with another one's residence": in_flight(
        "authorized",
        residences=(residence("web", "cmp-1", proof="power-off"), residence("web", "cmp-2", 2, attempt=7)),
    ),
    "a residence of an attempt that is not authorised": in_flight(
        "forward",
        residences=(residence("web", "cmp-1", proof="power-off"), residence("web", "cmp-2", 2)),
    ),
}
I3 |= {
    "an error that nobody explains": world(instances=(instance("web", "cmp-1", vm_state="error"),)),
    "an error of which nothing says what it was": ended(
        FAILED,
        instances=(
            instance("web", "cmp-1", vm_state="error", has_fault=True, epoch=2, last_evacuation_id="evacuation-web"),
        ),
    ),
}
I4 |= {
    "an allocation of another size": world(allocations=(allocation("id-web", "cmp-1", vcpus=2),)),
    "a claim whose allocation is gone": in_flight("forward", allocations=(allocation("migration-web", "cmp-1"),)),
    "a started one's claim whose allocation is gone": in_flight(
        "started", allocations=(allocation("migration-web", "cmp-1"),)
    ),
    "a deleted instance whose power is recorded": deleted(
        instances=(instance("web", None, vm_state="deleted", power_state="running"),)
    ),
    "a power state of another vm_state": world(instances=(instance("web", "cmp-1", power_state="shutdown"),)),
    "a port that is still being built": world(ports=(port("web", "cmp-1", status="BUILD"),)),
    "an address of another network": world(ports=(port("web", "cmp-1", ip="10.1.0.2"),)),
    "a port with something else for an address": world(ports=(port("web", "cmp-1", ip="here"),)),
    "a volume that none of its block devices is": world(mappings=()),
    "a block device whose volume is gone": world(volumes=()),
    "a connector kept though the volume is back": world(mappings=(mapping("web", connector="cmp-1"),)),
    "a deleted instance with a mapping": deleted(
        mappings=(mapping("web"),), residences=(residence("web", "cmp-1", proof="power-off"),)
    ),
    "a migration that says another end than its evacuation": recovered("failed"),
    "an open evacuation without migration": in_flight("forward", migrations=()),
    "an open evacuation whose migration is done": in_flight("authorized", migrations=(migration("web", "done"),)),
    "a migration that brought it where it has no residence": recovered(
        residences=(residence("web", "cmp-1", proof="x"), residence("web", "cmp-2", 2, evacuation_id="another"))
    ),
    "a migration whose source epoch never was": recovered(migrations=(migration("web", "done", source_epoch=9),)),
    "a migration that is completed, and its source was never back": recovered("completed", hosts=FENCED_BEFORE),
    "a migration that is done, and its source is back": recovered(hosts=BACK),
    "a migration from another host": in_flight("forward", migrations=(migration("web", "accepted", source="cmp-2"),)),
    "a migration to another host": recovered(migrations=(migration("web", "done", destination="cmp-1"),)),
    "an action of another instance": recovered(actions=(action("db"),)),
    "an attempt of another instance": recovered(attempts=(attempt("db"),)),
    "an evacuation from where it is not": in_flight(
        "forward",
        evacuations=(evacuation("web", "forward", source="cmp-2"),),
        migrations=(migration("web", "accepted", source="cmp-2", source_epoch=2),),
    ),
    "an evacuation of another vm_state": in_flight(
        "forward", evacuations=(evacuation("web", "forward", vm_state_before="stopped"),)
    ),
    "an attempt that is gone": in_flight(
        "forward",
        evacuations=(evacuation("web", "forward", destination=None, epoch=None),),
        migrations=(migration("web", "accepted", destination=None),),
    ),
    "another last evacuation": recovered(instances=(instance("web", "cmp-2", epoch=2, last_evacuation_id="x"),)),
    "an end without a time": recovered(evacuations=(evacuation("web", "closed", "recovered", has_end=False),)),
    "an end without its action's": recovered(actions=(action("web", finished=False),)),
    "an action that ended before": in_flight("forward", actions=(action("web"),)),
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
    "two instances with one disk": (two_that_write(writes("/san/a"), writes("/san/a")), {("I1", "web")}),
    "two instances with one disk, of which one says that it may": (
        two_that_write(writes("/san/a"), writes("/san/a", shareable=True)),
        {("I1", "web")},
    ),
    "an instance and a stranger with one disk": (
        world(
            guests=(guest("web", "cmp-1", disks=(writes("/san/a"),)),),
            strangers=(OLD_COPY,),
        ),
        {("I1", "web")},
    ),
    "a guest whose disks were taken away, on a host that serves again": (
        left_by_a_storage_fence("up"),
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
    "a host that is up behind its fence": (
        world(hosts=(host("cmp-1", fenced=True), host("cmp-2")), guests=(), boots={}),
        {("I2", "cmp-1")},
    ),
    "a host that is down, alive, and left alone": (world(hosts=DOWN), {("I3", "cmp-1")}),
    "a host whose board before was said to be gone, and was heard of": (
        world(hosts=(host("cmp-1", gone_and_seen=("boot-0",)), host("cmp-2"))),
        {("I2", "cmp-1")},
    ),
    "a host in whose place another one answers": (world(identities={"cmp-1": "another"}), {("I3", "cmp-1")}),
    "members apart that are to be together": (
        world(**two_of_a_group("affinity", "cmp-1", "cmp-2")),
        {("I4", "pair")},
    ),
    "members together that are to be apart": (
        world(**two_of_a_group("anti-affinity", "cmp-1", "cmp-1")),
        {("I4", "pair")},
    ),
    "members of which one has moved to the other": (
        world(
            **two_of_a_group("anti-affinity", "cmp-1", "cmp-1"),
            loaded_members={"web": ("cmp-1", "pair", "anti-affinity"), "db": ("cmp-2", "pair", "anti-affinity")},
        ),
        {("I4", "pair")},
    ),
    "the index that keeps one place for a guest": (
        world(constraints=(flaw("residence", "uq_residence_unproven"),)),
        {("I1", "residence")},
    ),
    "another unique index": (world(constraints=(flaw("port", "uq_port_mac"),)), {("I4", "port")}),
    "a reference to nothing": (world(references=(flaw("port", "host is cmp-9"),)), {("I4", "port p")}),
    "a word that nobody knows": (world(words=(flaw("volume", "status is lost"),)), {("I4", "volume p")}),
    "a store that a host has seen further on": (world(doubted_by="cmp-2"), {("I2", "ledger")}),
    "a store without its turn": (world(fleets=0), {("I4", "loaded_fleet")}),
    "a guest that was seen where no residence is": (
        world(sightings=(sighting("web", "cmp-2"),), boots={"cmp-1": "boot of cmp-1"}),
        {("I2", "web")},
    ),
    "more starts than the destination's cap": (
        in_flight("authorized", hosts=(FENCED[0], host("cmp-2", max_evacuations=0))),
        {("I5", "cmp-2")},
    ),
}


@pytest.mark.parametrize(("found", "expected"), OTHERS.values(), ids=list(OTHERS))
def test_breach_names_the_subject_of(found: World, expected: set[tuple[str, str]]):
    assert broken(found) == expected


SOUND_DISKS = {
    "of an instance that never ran is missing": world(
        disks=(disk("web", exists=False),), instances=(instance("web", "cmp-1", vm_state="stopped"),), guests=()
    ),
    "of an instance that never ran is empty": world(),
    "begins with a later guest than one that never ran": world(
        residences=(residence("web", "cmp-2", proof="off"), residence("web", "cmp-1", 3, started=True)),
        instances=(instance("web", "cmp-1", epoch=3),),
        guests=(guest("web", "cmp-1", 3),),
        disks=(disk("web", begins=(1, 3)),),
    ),
    "goes on from guest to guest": world(
        residences=(residence("web", "cmp-2", proof="off", started=True), residence("web", "cmp-1", 3)),
        instances=(instance("web", "cmp-1", epoch=3),),
        guests=(guest("web", "cmp-1", 3),),
        disks=(disk("web", begins=(1, 1)),),
    ),
}


@pytest.mark.parametrize("found", SOUND_DISKS.values(), ids=list(SOUND_DISKS))
def test_nothing_is_broken_when_a_disk(found: World):
    assert broken(found) == set()


def test_every_rule_is_broken_by_one_of_these_worlds():
    worlds = [found for each in BROKEN.values() for found in each.values()] + [found for found, _ in OTHERS.values()]
    assert {breach.rule for found in worlds for breach in find_breaches(found)} == {rule.name for rule in RULES}


NAMES = """
constraint-gone refers-to-nothing unknown-word store-behind turn-gone
copies residences false-evidence not-allowed unproven-past lives-elsewhere nowhere of-another-boot misplaced
epoch-below start-without-residence residence-without-start
fenced-and-up down-without-reason another-hypervisor gone-and-seen
two-writers disk-gone begun-again writes-lost disk-of-two
task-unowned evacuation-unowned deletion-unowned power-task-unowned deleted-runs ended-unsaid error-without-fault
error-without-way-back runs-otherwise power-otherwise over-cap start-unowned
left-of-deleted allocated-elsewhere allocated-otherwise allocated-for-nobody claim-lost host-overfull room-otherwise
attached-elsewhere mapped-otherwise mapped-to-nothing attached-unmapped connector-left volume-otherwise
bound-elsewhere bound-otherwise binding-left address-elsewhere policy-broken
migration-unowned migration-otherwise migration-without-residence completed-unseen done-unseen records-differ
attempt-lost last-otherwise end-unwritten
"""


def test_no_rule_is_lost():
    """JSON names them, and a rule that is not asked is not missed by anybody."""
    assert [rule.name for rule in RULES] == NAMES.split()


def test_no_breach_hides_another_one_of_the_same_subject():
    """Three copies, of which no residence allows two, and two ports that are bound elsewhere."""
    copies = (guest("web", "cmp-1"), guest("web", "cmp-2", 5), guest("web", "cmp-2", 6))
    ports = (port("web", "cmp-2"), port("web", "cmp-2", id="another", ip="10.0.0.3"))
    found = [(breach.rule, breach.about) for breach in find_breaches(world(guests=copies, ports=ports))]
    assert found == [
        ("copies", ""),
        ("not-allowed", "epoch 5 on cmp-2"),
        ("not-allowed", "epoch 6 on cmp-2"),
        ("bound-elsewhere", "10.0.0.2"),
        ("bound-elsewhere", "10.0.0.3"),
    ]


def test_no_two_breaches_have_one_key():
    for found in [found for each in BROKEN.values() for found in each.values()]:
        keys = [breach.key for breach in find_breaches(found)]
        assert len(keys) == len(set(keys))


def test_two_looks_at_one_breach_have_one_key_whatever_its_numbers():
    first, later = (
        find_breaches(world(hosts=(host("cmp-1", vcpus_used=used, vcpus_free=8 - used), host("cmp-2"))))
        for used in (9, 10)
    )
    assert [breach.message for breach in first] != [breach.message for breach in later]
    assert [breach.key for breach in first] == [breach.key for breach in later] == [("host-overfull", "cmp-1", "vcpus")]


def test_every_double_run_is_named_with_both_places():
    both = (guest("web", "cmp-1", pid=None), guest("web", "cmp-2", pid=None))
    found = {breach.rule: breach.message for breach in find_breaches(world(guests=both))}
    assert found["copies"] == "2 copies run: cmp-1 (epoch 1), cmp-2 (epoch 1)"
    assert found["not-allowed"].startswith("epoch 1 runs on cmp-2, and no residence allows it: its place is cmp-1")


def test_a_guest_where_no_residence_is_is_named_with_both_places_once():
    """What is recorded does not run there, and to start it would make a second copy."""
    (moved,) = find_breaches(I2["a guest that was moved to another host by hand"])
    assert (moved.rule, moved.about) == ("not-allowed", "epoch 1 on cmp-2")
    assert "cmp-1 (epoch 1)" in moved.message and "instance start" not in moved.remedy
    assert "evacuate instance moved web" in moved.remedy and "destroy" not in moved.remedy


def test_what_a_look_and_a_report_tell_of_a_migrated_guest_has_one_remedy():
    elsewhere = world(guests=(guest("web", "cmp-2"),), sightings=(sighting("web", "cmp-2"),))
    found = {breach.rule: breach.remedy for breach in find_breaches(elsewhere)}
    assert found.keys() == {"not-allowed", "misplaced"}
    assert all("evacuate instance moved web" in remedy for remedy in found.values())


def test_a_disk_of_two_is_named_with_both_guests():
    (found,) = find_breaches(OTHERS["an instance and a stranger with one disk"][0])
    assert found.message == "two write to /san/a: web on cmp-1 (epoch 1, pid 1), old-copy on cmp-2 (epoch 0, pid 1)"


VERBS = {
    "a start that nobody carries out": "evacuate instance start web",
    "a stop that nobody carries out": "evacuate instance stop web",
    "an active instance that does not run": "evacuate instance start web",
    "an active instance that is paused": "evacuate instance start web",
    "a stopped instance that runs": "evacuate instance stop web",
}


@pytest.mark.parametrize(("what", "command"), VERBS.items(), ids=list(VERBS))
def test_remedy_is_the_command_that_brings_about_what_is_recorded_for(what: str, command: str):
    (breach,) = find_breaches(I3[what])
    assert breach.remedy.endswith(command)


@pytest.mark.parametrize(("destination", "said"), [("cmp-2", "cmp-2"), (None, "a host that is not recorded")])
def test_start_without_a_residence_says_where(destination: str | None, said: str):
    lost = in_flight(
        "authorized",
        evacuations=(evacuation("web", "authorized", destination=destination),),
        residences=(residence("web", "cmp-1", proof="power-off"),),
        guests=(),
    )
    assert any(said in breach.message for breach in find_breaches(lost) if breach.rule == "start-without-residence")


def seen_by(who: str, position: int, ledger: str = "ours") -> tuple[Witness, ...]:
    return (Witness(who=who, mark=LedgerMark(ledger=ledger, position=position)),)


OURS = LedgerMark(ledger="ours", position=7, replaces=("older",))
LOST_EPOCH: dict[str, Any] = {"ledger": OURS, "guests": (guest("web", "cmp-2", 2),)}
"""web was evacuated to cmp-2, and the store does not know of it."""
BEHIND = {
    "a host has seen it further on": world(**LOST_EPOCH, witnesses=seen_by("cmp-2", 8)),
    "a host has seen another one": world(**LOST_EPOCH, witnesses=seen_by("cmp-2", 1, "theirs")),
    "its row is gone": world(**LOST_EPOCH | {"ledger": LedgerMark(ledger="", position=0)}, witnesses=seen_by("x", 1)),
    "a command has doubted it": world(**LOST_EPOCH, doubted_by="cmp-2"),
    "a host could not be asked, and is on": world(
        **LOST_EPOCH, witnesses=seen_by("cmp-2", 8), unasked=frozenset({"cmp-2"})
    ),
    "two copies run": world(
        ledger=OURS, guests=(guest("web", "cmp-1"), guest("web", "cmp-2", 2)), witnesses=seen_by("cmp-2", 8)
    ),
    "its host is fenced": world(
        **LOST_EPOCH | {"hosts": (host("cmp-1"), host("cmp-2", fenced=True))}, witnesses=seen_by("cmp-2", 8)
    ),
}


@pytest.mark.parametrize("found", BEHIND.values(), ids=list(BEHIND))
def test_nobody_is_told_to_end_anything_by_a_store_that_is_behind(found: World):
    breaches = find_breaches(found)
    assert "store-behind" in {breach.rule for breach in breaches}
    assert len(breaches) > 1
    assert all("evacuate store reconcile" in breach.remedy for breach in breaches)
    assert next(breach.rule for breach in breaches if breach.invariant == "I2") == "store-behind"
    for breach in breaches:
        assert not any(word in breach.remedy for word in ("destroy it", "stop", "cut", "disable", "boot"))


IN_STEP = {
    "has seen it as it is": world(ledger=OURS, witnesses=seen_by("cmp-2", 7)),
    "has seen it before": world(ledger=OURS, witnesses=seen_by("cmp-2", 3)),
    "has seen one that it has replaced": world(ledger=OURS, witnesses=seen_by("cmp-2", 900, "older")),
    "could not be asked, and is off": world(
        ledger=OURS, witnesses=seen_by("cmp-2", 8), unasked=frozenset({"cmp-2"}), boots={"cmp-1": "boot of cmp-1"}
    ),
}


@pytest.mark.parametrize("found", IN_STEP.values(), ids=list(IN_STEP))
def test_store_is_not_behind_a_host_that(found: World):
    assert find_breaches(found) == ()


def test_only_copy_is_not_to_be_destroyed_though_nothing_allows_it():
    found = find_breaches(world(guests=(guest("web", "cmp-2", 2),)))
    (breach,) = (each for each in found if each.rule == "not-allowed")
    assert "evacuate store reconcile" in breach.remedy
    assert "destroy it" not in breach.remedy


def test_guest_of_the_mark_that_may_run_is_to_be_followed_where_it_is():
    """A reconciliation leaves the residence where it is."""
    moved = world(guests=(guest("web", "cmp-2"),), sightings=(sighting("web", "cmp-2"),))
    remedies = {each.rule: each.remedy for each in find_breaches(moved)}
    assert all("if it was migrated: evacuate instance moved web" in each for each in remedies.values()), remedies
    assert set(remedies) == {"not-allowed", "misplaced"}


def test_copy_of_an_epoch_that_was_never_given_is_not_to_be_destroyed():
    both = (guest("web", "cmp-1"), guest("web", "cmp-2", 2))
    (breach,) = (each for each in find_breaches(world(guests=both)) if each.rule == "not-allowed")
    assert "evacuate store reconcile" in breach.remedy


def test_copy_whose_place_was_proven_empty_is_to_be_destroyed():
    left = recovered(guests=(guest("web", "cmp-1"), guest("web", "cmp-2", 2)), boots={}, hosts=BACK)
    (breach,) = (each for each in find_breaches(left) if each.rule == "not-allowed")
    assert breach.remedy.startswith("destroy it on cmp-1")


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


def test_mapping_of_an_instance_that_nobody_knows_is_not_judged():
    assert broken(world(mappings=(mapping("web"), mapping("elsewhere")))) == set()
