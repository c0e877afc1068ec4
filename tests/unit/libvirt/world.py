"""A stored definition as an operator's libvirt has it, and what is to come up from it."""

from pathlib import Path
from typing import Any

from evacuation import messages as m
from evacuation.model import Flavor, PowerState, RootDisk
from services.hypervisors.libvirt.options import LibvirtOptions

INSTANCE = "aaaaaaaa-0000-4000-8000-000000000001"
MAC = "52:54:00:aa:00:01"

STORED = f"""<domain type='kvm' id='7'>
  <name>instance-0000002a</name><uuid>{INSTANCE}</uuid>
  <metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:name>web</nova:name>
  </nova:instance></metadata>
  <memory unit='KiB'>524288</memory><vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='host-passthrough' check='none'><topology sockets='1' cores='2' threads='1'/></cpu>
  <devices><emulator>/opt/old-host/qemu</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/shared/web.qcow2'/>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='old-attachment'>
      <host name='10.0.0.9' port='10809'/></source><target dev='vdb' bus='virtio'/></disk>
    <interface type='bridge'><mac address='{MAC}'/><source bridge='br-old'/><target dev='vnet3'/>
      <model type='virtio'/><alias name='net0'/></interface>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
  </devices>
  <seclabel type='dynamic' model='apparmor'><label>libvirt-{INSTANCE}</label></seclabel>
</domain>"""


def options(tmp_path: Path, **given: Any) -> LibvirtOptions:
    return LibvirtOptions(**({"host": "cmp-2", "state_dir": tmp_path / "state", "uri": "test:///default"} | given))


def guest(epoch: int = 2, **given: Any) -> m.GuestSpec:
    base = {
        "instance_id": INSTANCE,
        "name": "web-01",
        "epoch": epoch,
        "flavor": Flavor(vcpus=1, memory_mb=512, disk_gb=5),
        "root_disk": RootDisk.SHARED,
        "power_state": PowerState.RUNNING,
        "definition": STORED,
    }
    return m.GuestSpec(**(base | given))


def nic(**given: Any) -> m.Nic:
    return m.Nic(**({"port_id": "port-1", "network": "lan", "mac": MAC, "ip": "10.0.0.5"} | given))


def disk(device: str = "vdb", **given: Any) -> m.GuestDisk:
    target = m.VolumeTarget(host="10.0.0.200", port=10810)
    return m.GuestDisk(
        **({"volume_id": "v", "device": device, "attachment_id": "new-attachment", "target": target} | given)
    )
