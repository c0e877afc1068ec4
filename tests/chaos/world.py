"""The fleet of a batch: an instance for each cell, others that are evacuated with them, and room for all."""

from collections.abc import Sequence
from typing import Any

from tests.chaos.plan import Cell, Kind

SOURCE = "cmp-1"
DESTINATION = "cmp-2"
FLEET = 4
BYSTANDERS = ("apart-1", "apart-2", "two-volumes")
FLAVOR = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}


def bystanders(kind: Kind) -> tuple[str, ...]:
    """None where the source lives on: nothing but a disk lock would keep them from starting beside their guests."""
    return () if kind.false_word or kind.alone else BYSTANDERS


def homes(cells: Sequence[Cell]) -> dict[str, str]:
    """Where each cell's instance goes first, since its server group has a member there already. One whose destination
    is to go silent has it to itself: what proves it off for one would do so for all."""
    silent = [cell for cell in cells if cell.route == "silent"]
    own = {cell.instance: f"cmp-{FLEET + number}" for number, cell in enumerate(silent, start=1)}
    return {cell.instance: own.get(cell.instance, DESTINATION) for cell in cells}


def fleet(cells: Sequence[Cell], *, disk_lock: bool) -> dict[str, Any]:
    home = homes(cells)
    taken = sorted(set(home.values()))
    instances = [_instance(f"anchor-{host}", host, server_group=f"herd-{host}") for host in taken]
    instances += [
        _instance(cell.instance, SOURCE, server_group=f"herd-{home[cell.instance]}", volumes=1) for cell in cells
    ]
    instances += [_instance(name, SOURCE, server_group="apart") for name in BYSTANDERS[:2]]
    instances += [_instance(BYSTANDERS[2], SOURCE, volumes=2)]
    return {
        "disk_lock": disk_lock,
        "hosts": [_host(f"cmp-{number}") for number in range(1, FLEET + 1)]
        + [_host(host) for host in taken if host != DESTINATION],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/23"}],
        "volumes": [{"name": volume, "size_gb": 1} for each in instances for volume in each["volumes"]],
        "server_groups": [{"name": f"herd-{host}", "policy": "soft-affinity"} for host in taken]
        + [{"name": "apart", "policy": "anti-affinity"}],
        "instances": instances,
    }


def _host(name: str) -> dict[str, Any]:
    return {"name": name, "vcpus": 64, "memory_mb": 65536, "disk_gb": 500, "max_evacuations": 64}


def _instance(name: str, host: str, *, server_group: str | None = None, volumes: int = 0) -> dict[str, Any]:
    own = {"name": name, "host": host, "flavor": FLAVOR, "ports": [{"network": "lan"}]}
    grouped = {"server_group": server_group} if server_group else {}
    return own | grouped | {"volumes": [f"{name}-{number}" for number in range(1, volumes + 1)]}
