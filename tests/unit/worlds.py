"""Worlds of one instance, `web`, and two hosts: sound ones, to be broken by one change."""

from datetime import UTC, datetime, timedelta
from typing import Any

from evacuation import invariants as i
from evacuation.invariants import Rows, SeenBinding, SeenDisk, SeenGuest, SeenMapping, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(minutes=5), NOW + timedelta(minutes=5)
SIZES = ("vcpus", "memory_mb", "disk_gb")
NOT_GIVEN = {"evacuation_id": None, "attempt": None}


def host(name: str, **differs: object) -> i.SeenHost:
    sizes = dict.fromkeys(SIZES, 8) | {f"{size}_used": 1 for size in SIZES} | {f"{size}_free": 7 for size in SIZES}
    usual = {"state": "up", "fenced": False, "fenced_since": NOW if differs.get("fenced") else None}
    identity = {"name": name, "incarnation": f"boot of {name}", "hypervisor_uuid": name, "machine_id": "machine"}
    return i.SeenHost.model_validate({"max_evacuations": 1, **sizes, **usual, **identity, **differs})


def instance(name: str, on: str | None, **differs: object) -> i.SeenInstance:
    power = {"stopped": "shutdown", "deleted": "nostate"}.get(str(differs.get("vm_state")), "running")
    usual = {"vm_state": "active", "task_state": None, "power_state": power, "has_fault": False, "epoch": 1}
    rest = {"wanted_vm_state": None, "root_disk": "shared", "server_group": None, "last_evacuation_id": None}
    sizes = dict.fromkeys(SIZES, 1)
    return i.SeenInstance.model_validate(
        {"id": f"id-{name}", "name": name, "host": on, **usual, **rest, **sizes, **differs}
    )


def residence(name: str, on: str, epoch: int = 1, **differs: object) -> i.SeenResidence:
    usual = {"instance_id": f"id-{name}", "instance": name, "incarnation": f"boot of {on}", "proof": None}
    given = {"evacuation_id": f"evacuation-{name}", "attempt": 1} if epoch > 1 else NOT_GIVEN
    return i.SeenResidence.model_validate({**usual, **given, "host": on, "epoch": epoch, **differs})


def sighting(name: str, on: str, **differs: object) -> i.SeenSighting:
    usual = {"instance_id": f"id-{name}", "host": on, "incarnation": f"boot of {on}", "epoch": 1, "state": "running"}
    return i.SeenSighting.model_validate({**usual, **differs})


def allocation(consumer: str, on: str, *, vcpus: int = 1) -> i.SeenAllocation:
    return i.SeenAllocation(consumer_id=consumer, host=on, vcpus=vcpus, memory_mb=1, disk_gb=0)


def port(name: str, on: str | None, **differs: object) -> i.SeenPort:
    usual = {"id": f"port-{name}", "instance_id": f"id-{name}", "host": on, "mac": "", "ip": "10.0.0.2"}
    return i.SeenPort.model_validate({**usual, "network": "lan", "status": "ACTIVE", **differs})


def volume(name: str, status: str, *attachments: i.SeenAttachment) -> i.SeenVolume:
    return i.SeenVolume(id=f"volume-{name}", name=f"data-{name}", status=status, attachments=attachments)


def attachment(name: str, on: str | None, *, key: str = "a") -> i.SeenAttachment:
    about = {"id": f"{key}-{name}", "volume_id": f"volume-{name}", "instance_id": f"id-{name}"}
    return i.SeenAttachment.model_validate({**about, "host": on, "status": "attached" if on else "reserved"})


def mapping(name: str, *, connector: str | None = None) -> SeenMapping:
    key = f"a-{name}"
    return SeenMapping(
        instance_id=f"id-{name}", volume_id=f"volume-{name}", attachment_id=key, source_connector=connector
    )


def binding(name: str, on: str) -> SeenBinding:
    return SeenBinding(instance_id=f"id-{name}", port_id=f"port-{name}", host=on)


def guest(name: str, on: str, epoch: int = 1, **differs: object) -> SeenGuest:
    usual = {"host": on, "incarnation": f"boot of {on}", "instance_id": f"id-{name}", "pid": 1, "writes": True}
    return SeenGuest.model_validate({**usual, "epoch": epoch, **differs})


def writes(path: str, *, shareable: bool = False, seen_from: str = "") -> i.SeenWrite:
    """`seen_from`: the one host that has this disk at that path."""
    return i.SeenWrite(disk=f"{seen_from}:{path}", path=path, shareable=shareable)


def disk(name: str, **differs: object) -> SeenDisk:
    return SeenDisk.model_validate({"instance_id": f"id-{name}", "exists": True, **differs})


def migration(name: str, status: str, **differs: object) -> i.SeenMigration:
    hosts = {"source": "cmp-1", "source_epoch": 1, "destination": "cmp-2", "updated_at": NOW}
    about = {"id": f"migration-{name}", "evacuation_id": f"evacuation-{name}", "instance_id": f"id-{name}"}
    return i.SeenMigration.model_validate({**about, **hosts, "status": status, **differs})


def evacuation(name: str, phase: str, ended: str | None = None, **differs: object) -> i.SeenEvacuation:
    hosts = {"source": "cmp-1", "destination": "cmp-2", "vm_state_before": "active", "wanted": "active"}
    about = {"id": f"evacuation-{name}", "instance_id": f"id-{name}", "instance": name, "attempt": 1, "epoch": 2}
    end = {"phase": phase, "ended": ended, "has_reason": ended == "not_recovered", "has_end": phase == "closed"}
    return i.SeenEvacuation.model_validate({**about, **hosts, **end, "migration_id": f"migration-{name}", **differs})


def attempt(name: str) -> i.SeenAttempt:
    """Of web's evacuation."""
    return i.SeenAttempt(evacuation_id="evacuation-web", number=1, instance_id=f"id-{name}", host="cmp-2", epoch=2)


def action(name: str, *, finished: bool = True) -> i.SeenAction:
    """Of web's evacuation."""
    return i.SeenAction(evacuation_id="evacuation-web", instance_id=f"id-{name}", finished=finished)


def flaw(table: str, what: str) -> i.SeenFlaw:
    return i.SeenFlaw(table=table, what=what, row="p")


ROWS = frozenset(Rows.model_fields)


def world(**differs: Any) -> World:
    """It runs on cmp-1 with a port and a volume; fields of the store's rows, and of the world, as given."""
    rows = {
        "hosts": (host("cmp-1"), host("cmp-2")),
        "instances": (instance("web", "cmp-1"),),
        "migrations": (),
        "allocations": (allocation("id-web", "cmp-1"),),
        "ports": (port("web", "cmp-1"),),
        "volumes": (volume("web", "in-use", attachment("web", "cmp-1")), volume("free", "available")),
        "residences": (residence("web", "cmp-1"),),
        "evacuations": (),
        "mappings": (mapping("web"),),
        "networks": {"lan": "10.0.0.0/24"},
    }
    seen = {
        "guests": (guest("web", "cmp-1"),),
        "disks": (disk("web"),),
        "boots": {"cmp-1": "boot of cmp-1", "cmp-2": "boot of cmp-2"},
        "running_workflows": frozenset[str](),
        "returning": frozenset[str](),
    }
    given = {key: value for key, value in differs.items() if key in ROWS}
    rest = {key: value for key, value in differs.items() if key not in ROWS}
    return World(rows=Rows(**(rows | given)), **(seen | rest))


def in_flight(phase: str, **differs: Any) -> World:
    """It is being evacuated from cmp-1, which is off, to cmp-2."""
    started = phase in ("authorized", "started")
    past = residence("web", "cmp-1", proof="power-off" if started else None)
    begun = {"last_evacuation_id": "evacuation-web", "epoch": 2}
    usual = {
        "hosts": (host("cmp-1", state="down", fenced=True), host("cmp-2")),
        "instances": (instance("web", "cmp-1", task_state="rebuilding", **begun),),
        "migrations": (migration("web", "pre-migrating"),),
        "allocations": (allocation("migration-web", "cmp-1"), allocation("id-web", "cmp-2")),
        "ports": (port("web", "cmp-2"),),
        "volumes": (volume("web", "in-use", attachment("web", "cmp-2")),),
        "residences": (past, *([residence("web", "cmp-2", 2)] if started else [])),
        "evacuations": (evacuation("web", phase),),
        "inactive_bindings": (binding("web", "cmp-1"),),
        "boots": {"cmp-1": None, "cmp-2": "boot of cmp-2"},
        "guests": (guest("web", "cmp-2", 2),) if started else (),
        "running_workflows": frozenset({"id-web"}),
    }
    return world(**(usual | differs))


def ended(how: str | None, **differs: Any) -> World:
    """Its evacuation was undone; it is recorded on cmp-1, which is off."""
    begun = {"last_evacuation_id": "evacuation-web", "epoch": 2, "has_fault": True, "wanted_vm_state": "active"}
    usual = {
        "hosts": (host("cmp-1", state="down", fenced=True), host("cmp-2")),
        "instances": (instance("web", "cmp-1", vm_state="error", **begun),),
        "migrations": (migration("web", "failed"),),
        "allocations": (allocation("id-web", "cmp-1"),),
        "volumes": (volume("web", "reserved", attachment("web", None)),),
        "residences": (residence("web", "cmp-1", proof="power-off"), residence("web", "cmp-2", 2, proof="gone")),
        "evacuations": (evacuation("web", "closed", how),),
        "boots": {"cmp-1": None, "cmp-2": "boot of cmp-2"},
        "guests": (),
    }
    return world(**(usual | differs))


def deleted(**differs: Any) -> World:
    """Nothing of it is left but its disk; its dead host has not come back yet."""
    usual = {
        "instances": (instance("web", None, vm_state="deleted", power_state="nostate"),),
        "allocations": (),
        "ports": (),
        "volumes": (volume("web", "available"),),
        "residences": (residence("web", "cmp-1"),),
        "mappings": (),
        "boots": {"cmp-1": None, "cmp-2": "boot of cmp-2"},
        "guests": (),
    }
    return world(**(usual | differs))
