"""The fleet that is measured: one dead host, and as many others as share its instances."""

from datetime import UTC, datetime

from evacuation.fleet import (
    Fleet,
    FleetFlavor,
    FleetHost,
    FleetInstance,
    FleetNetwork,
    FleetPort,
    FleetVolume,
)
from evacuation.model import Evidence, EvidenceKind

SOURCE = "dead"
DESTINATIONS = ("cmp-1", "cmp-2")


def fleet_of(instances: int) -> Fleet:
    """Each instance has one port and one volume; each destination could take all of them."""
    names = [f"vm-{number:04}" for number in range(instances)]
    size = max(1, instances)
    return Fleet(
        hosts=tuple(
            FleetHost(name=host, vcpus=size, memory_mb=size * 512, disk_gb=size) for host in (SOURCE, *DESTINATIONS)
        ),
        networks=(FleetNetwork(name="lan", cidr="10.0.0.0/16"),),
        volumes=tuple(FleetVolume(name=f"{name}-data", size_gb=1) for name in names),
        instances=tuple(_instance(name) for name in names),
    )


def _instance(name: str) -> FleetInstance:
    return FleetInstance(
        name=name,
        host=SOURCE,
        flavor=FleetFlavor(vcpus=1, memory_mb=512, disk_gb=1),
        ports=(FleetPort(network="lan"),),
        volumes=(f"{name}-data",),
    )


def power_off_evidence() -> Evidence:
    """As a fence leaves it: so that neither a fence nor a probe of a silent host is part of what is measured."""
    return Evidence(
        kind=EvidenceKind.POWER_OFF,
        host=SOURCE,
        incarnation=None,
        who="benchmark",
        reason="power cut, read back: off",
        at=datetime.now(UTC),
    )
