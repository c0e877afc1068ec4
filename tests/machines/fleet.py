"""The fleet of the machines: small, and tight, so that whatever can collide does."""

from datetime import UTC, datetime

from evacuation.fleet import Fleet

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOSTS = ("cmp-1", "cmp-2", "cmp-3")
INSTANCES = ("web", "db", "api")
_FLAVOR = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}

FLEET = Fleet.model_validate(
    {
        "hosts": [
            {"name": "cmp-1", "vcpus": 3, "memory_mb": 4096, "disk_gb": 100},
            {"name": "cmp-2", "vcpus": 2, "memory_mb": 4096, "disk_gb": 100, "max_evacuations": 1},
            {"name": "cmp-3", "vcpus": 1, "memory_mb": 4096, "disk_gb": 100},
        ],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
        "volumes": [
            {"name": "web-data", "size_gb": 1},
            {"name": "web-log", "size_gb": 1},
            {"name": "api-data", "size_gb": 1},
        ],
        "server_groups": [{"name": "pair", "policy": "anti-affinity"}],
        "instances": [
            {
                "name": "web",
                "host": "cmp-1",
                "flavor": _FLAVOR,
                "ports": [{"network": "lan"}],
                "volumes": ["web-data", "web-log"],
                "server_group": "pair",
            },
            {"name": "db", "host": "cmp-1", "flavor": _FLAVOR, "vm_state": "stopped", "ports": [{"network": "lan"}]},
            {"name": "api", "host": "cmp-2", "flavor": _FLAVOR, "volumes": ["api-data"], "server_group": "pair"},
        ],
    }
)
