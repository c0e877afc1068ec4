"""The fleet of a batch: an instance for each cell, others that are evacuated with them, and room for all."""

from collections.abc import Sequence
from typing import Any

from tests.chaos.plan import Cell

SOURCE = "cmp-1"
DESTINATION = "cmp-2"
"""Where every cell's instance goes first: its group has a member there already."""
GROUP = "herd"
ANCHOR = "anchor"
BYSTANDERS = ("apart-1", "apart-2", "two-volumes")
FLAVOR = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}


def fleet(cells: Sequence[Cell], *, disk_lock: bool) -> dict[str, Any]:
    instances = [_instance(ANCHOR, DESTINATION, server_group=GROUP)]
    instances += [_instance(cell.instance, SOURCE, server_group=GROUP, volumes=1) for cell in cells]
    instances += [_instance(name, SOURCE, server_group="apart") for name in BYSTANDERS[:2]]
    instances += [_instance(BYSTANDERS[2], SOURCE, volumes=2)]
    return {
        "disk_lock": disk_lock,
        "hosts": [_host(number) for number in range(1, 5)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/23"}],
        "volumes": [{"name": volume, "size_gb": 1} for each in instances for volume in each["volumes"]],
        "server_groups": [{"name": GROUP, "policy": "soft-affinity"}, {"name": "apart", "policy": "anti-affinity"}],
        "instances": instances,
    }


def _host(number: int) -> dict[str, Any]:
    return {"name": f"cmp-{number}", "vcpus": 64, "memory_mb": 65536, "disk_gb": 500, "max_evacuations": 64}


def _instance(name: str, host: str, *, server_group: str | None = None, volumes: int = 0) -> dict[str, Any]:
    own = {"name": name, "host": host, "flavor": FLAVOR, "ports": [{"network": "lan"}]}
    grouped = {"server_group": server_group} if server_group else {}
    return own | grouped | {"volumes": [f"{name}-{number}" for number in range(1, volumes + 1)]}
