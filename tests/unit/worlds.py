"""Worlds of one instance, `web`, and two hosts: sound ones, to be broken by one change."""

from datetime import UTC, datetime
from typing import Any

from evacuation import views as v
from evacuation.invariants import Rows, SeenBinding, SeenDisk, SeenGuest, SeenMapping, World
from evacuation.messages import EvacuationOutcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = ("vcpus", "memory_mb", "disk_gb")


def host(name: str, **differs: object) -> v.HostView:
    sizes = dict.fromkeys(SIZES, 8) | {f"{size}_used": 1 for size in SIZES}
    usual = {"state": "up", "enabled": True, "fenced": False, "availability_zone": "az1", "traits": ()}
    identity = {"name": name, "incarnation": f"boot of {name}", "hypervisor_uuid": name}
    return v.HostView.model_validate({**sizes, **usual, **identity, **differs})


def instance(name: str, on: str | None, **differs: object) -> v.InstanceView:
    usual = {"vm_state": "active", "task_state": None, "power_state": "running", "fault": None, "priority": 3}
    rest = {"project": "default", "evacuate": True, "server_group": None, "epoch": 1}
    return v.InstanceView.model_validate({"id": f"id-{name}", "name": name, "host": on, **usual, **rest, **differs})


def residence(name: str, on: str, epoch: int = 1, **differs: object) -> v.ResidenceView:
    usual = {"instance_id": f"id-{name}", "instance": name, "incarnation": f"boot of {on}", "proof": None}
    return v.ResidenceView.model_validate({**usual, "host": on, "epoch": epoch, **differs})


def allocation(consumer: str, on: str) -> v.AllocationView:
    return v.AllocationView(consumer_id=consumer, host=on, vcpus=1, memory_mb=1, disk_gb=1)


def port(name: str, on: str | None) -> v.PortView:
    return v.PortView(id=f"port-{name}", instance_id=f"id-{name}", host=on, mac="", ip="10.0.0.2", status="ACTIVE")


def volume(name: str, status: str, *attachments: v.AttachmentView) -> v.VolumeView:
    return v.VolumeView(id=f"volume-{name}", name=f"data-{name}", status=status, attachments=attachments)


def attachment(name: str, on: str | None, *, key: str = "a") -> v.AttachmentView:
    status = "attached" if on else "reserved"
    return v.AttachmentView(id=f"{key}-{name}", instance_id=f"id-{name}", host=on, status=status)


def mapping(name: str) -> SeenMapping:
    return SeenMapping(instance_id=f"id-{name}", volume_id=f"volume-{name}", attachment_id=f"a-{name}")


def binding(name: str, on: str) -> SeenBinding:
    return SeenBinding(instance_id=f"id-{name}", port_id=f"port-{name}", host=on)


def guest(name: str, on: str, epoch: int = 1, **differs: object) -> SeenGuest:
    usual = {"host": on, "incarnation": f"boot of {on}", "instance_id": f"id-{name}", "pid": 1, "writes": True}
    return SeenGuest.model_validate({**usual, "epoch": epoch, **differs})


def disk(name: str, **differs: object) -> SeenDisk:
    return SeenDisk.model_validate({"instance_id": f"id-{name}", "exists": True, **differs})


def migration(name: str, status: str) -> v.MigrationView:
    hosts = {"source": "cmp-1", "destination": "cmp-2"}
    times = {"created_at": NOW, "updated_at": NOW}
    about = {"id": f"migration-{name}", "instance_id": f"id-{name}", "type": "evacuation", "status": status}
    return v.MigrationView.model_validate({**about, **hosts, **times})


def outcome(name: str, how: str, reason: str | None = None) -> EvacuationOutcome:
    about = {"evacuation_id": f"evacuation-{name}", "instance_id": f"id-{name}", "source": "cmp-1"}
    return EvacuationOutcome.model_validate({**about, "outcome": how, "reason": reason, "started_at": NOW})


def evacuation(name: str, phase: str, how: EvacuationOutcome | None = None) -> v.EvacuationView:
    hosts = {"source": "cmp-1", "destination": "cmp-2"}
    about = {"id": f"evacuation-{name}", "instance_id": f"id-{name}", "instance": name, "attempt": 1}
    return v.EvacuationView.model_validate(
        {**about, **hosts, "phase": phase, "open": phase != "closed", "outcome": how}
    )


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
        "caps": {"cmp-1": 1, "cmp-2": 1},
    }
    seen = {
        "guests": (guest("web", "cmp-1"),),
        "disks": (disk("web"),),
        "boots": {"cmp-1": "boot of cmp-1", "cmp-2": "boot of cmp-2"},
        "running_workflows": frozenset[str](),
    }
    given = {key: value for key, value in differs.items() if key in ROWS}
    rest = {key: value for key, value in differs.items() if key not in ROWS}
    return World(rows=Rows(**(rows | given)), **(seen | rest))


def in_flight(phase: str, **differs: Any) -> World:
    """It is being evacuated from cmp-1, which is off, to cmp-2."""
    started = phase == "authorized"
    past = residence("web", "cmp-1", proof="power-off" if started else None)
    usual = {
        "hosts": (host("cmp-1", state="down", fenced=True), host("cmp-2")),
        "instances": (instance("web", "cmp-1", task_state="rebuilding"),),
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


def ended(how: EvacuationOutcome | None, **differs: Any) -> World:
    """Its evacuation was undone; it is recorded on cmp-1, which is off."""
    usual = {
        "hosts": (host("cmp-1", state="down", fenced=True), host("cmp-2")),
        "instances": (instance("web", "cmp-1", vm_state="error"),),
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
