"""The soak's fleet: nothing is created again, so that what is deleted makes it smaller."""

from typing import Any

from tests.soak.chance import dice

FLAVOR = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}
GROUPS = {"apart": "anti-affinity", "rather-apart": "soft-anti-affinity", "rather-together": "soft-affinity"}
ROOM = 1.7
"""How many times the fleet its hosts could hold: with two of them dead it is tight, and sometimes too tight."""


def fleet(seed: str, *, hosts: int, instances: int, disk_lock: bool = True) -> dict[str, Any]:
    """Every third instance has a volume, every eighth two; each group has three members."""
    made = [_instance(seed, number, hosts) for number in range(instances)]
    room = max(2, round(instances * ROOM / hosts))
    return {
        "disk_lock": disk_lock,
        "hosts": [_host(number, room) for number in range(1, hosts + 1)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/23"}],
        "volumes": [{"name": volume, "size_gb": 1} for each in made for volume in each["volumes"]],
        "server_groups": [{"name": name, "policy": policy} for name, policy in GROUPS.items()],
        "instances": made,
    }


def _host(number: int, room: int) -> dict[str, Any]:
    return {"name": f"cmp-{number}", "vcpus": room, "memory_mb": 65536, "disk_gb": 500, "max_evacuations": 16}


def _instance(seed: str, number: int, hosts: int) -> dict[str, Any]:
    name = f"vm-{number:02d}"
    volumes = 2 if number % 8 == 0 else number % 3 == 0
    group = list(GROUPS)[number // 3] if number < 3 * len(GROUPS) else None
    return {
        "name": name,
        "host": f"cmp-{number % hosts + 1}",
        "flavor": FLAVOR,
        "ports": [{"network": "lan"}],
        "priority": dice(seed, "priority", name).randint(1, 5),
        "volumes": [f"{name}-{each}" for each in range(1, volumes + 1)],
    } | ({"server_group": group} if group else {})
