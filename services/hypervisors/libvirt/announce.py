"""A moved guest's MAC addresses are told to the switches, so that traffic for it does not go to the dead host."""

import json

import structlog

from evacuation.errors import EvacuateError
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection

log = structlog.stdlib.get_logger("hypervisor")

ANNOUNCEMENT = json.dumps(
    {"execute": "announce-self", "arguments": {"initial": 50, "max": 550, "rounds": 5, "step": 100}}
)
"""QEMU sends a RARP for every NIC, five times in 1.3 s; virtio-net asks the guest to send its own announcement too."""


def announce(connection: LibvirtConnection, instance_id: str) -> None:
    """Asked for; a switch learns from the guest's own traffic too, so that a failure is only told."""

    try:
        connection.run("monitor", instance_id, ANNOUNCEMENT)
    except (LibvirtError, EvacuateError) as error:
        log.warning("the guest's addresses were not announced", instance=instance_id, cause=str(error))
