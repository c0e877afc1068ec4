"""Guests on a real Open vSwitch: from host to host with the same port, MAC and address."""

import json
import shutil
import uuid
from collections.abc import Iterator

import pytest

from evacuation import messages as m
from tests.libvirt.lab.lab import lab_of
from tests.libvirt.lab.open_vswitch import PROGRAMS, OpenVSwitch
from tests.libvirt.world import NETWORK, LabWorld

BRIDGE = "br-int"


@pytest.fixture
def switched(can_run: None) -> Iterator[tuple[LabWorld, dict[str, OpenVSwitch]]]:
    """Hosts of their own: their bridge is taken from them."""
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    assert not missing, f"not installed: {', '.join(missing)}; see deploy/packages.sh"
    with lab_of("a", "b", named=5) as lab:
        yield LabWorld(lab), {name: OpenVSwitch(host, BRIDGE) for name, host in lab.hosts.items()}


def on(world: LabWorld, port_id: str) -> tuple[m.Nic, ...]:
    port = {"port_id": port_id, "network": NETWORK, "mac": world.mac, "ip": world.ip}
    return (m.Nic(**port, bridge=BRIDGE, openvswitch=True),)


def test_guest_keeps_port_mac_and_address_from_switch_to_switch(
    switched: tuple[LabWorld, dict[str, OpenVSwitch]],
) -> None:
    world, switches = switched
    port_id = str(uuid.uuid4())
    for epoch, name in enumerate(("a", "b"), start=1):
        world.spawn(name, epoch, nics=on(world, port_id))
        (port,) = switches[name].ports()
        ids = switches[name].external_ids(port)
        assert (ids["iface-id"], ids["attached-mac"]) == (port_id, world.mac), json.dumps(ids)
        world.until_it_answers()
        assert switches[name].knows(world.mac)
        assert world.ports() == [f"p-{name}"], "the switch between the hosts has learned where it is now"
        if name == "a":
            world.host("a").power_off()


def test_port_leaves_the_switch_with_its_guest(switched: tuple[LabWorld, dict[str, OpenVSwitch]]) -> None:
    world, switches = switched
    world.spawn("a", 1, nics=on(world, str(uuid.uuid4())))
    world.driver("a").destroy(world.instance, 1)
    assert switches["a"].ports() == []
