from pathlib import Path

import pytest

from evacuation.errors import MalformedDefinitionError
from services.definitions.libvirt.definition import Definition, parse_definition

DOMAINS = Path(__file__).parent / "domains"


def definition(name: str) -> Definition:
    return parse_definition((DOMAINS / f"{name}.xml").read_text(encoding="utf-8"))


def test_definition_says_who_and_how_big_the_guest_is():
    web = definition("web")
    assert (web.name, web.id) == ("web", "6f2c1d3a-0b8e-4d5f-9a61-000000000001")
    assert (web.vcpus, web.memory_mb, web.domain_type) == (2, 2048, "kvm")
    assert (web.arch, web.machine, web.cpu_mode, web.cpu_model) == ("x86_64", "pc-q35-7.2", "host-passthrough", None)


@pytest.mark.parametrize(("name", "mebibytes"), [("web", 2048), ("windows", 8192), ("emulated", 96)])
def test_memory_is_in_mebibytes_whatever_its_unit(name: str, mebibytes: int):
    assert definition(name).memory_mb == mebibytes


def test_memory_is_rounded_up_when_it_is_no_whole_mebibyte():
    text = (DOMAINS / "emulated.xml").read_text(encoding="utf-8").replace("unit='MiB'>96<", "unit='MB'>100<")
    assert parse_definition(text).memory_mb == 96


def test_file_disk_has_its_path_and_format():
    (disk,) = definition("web").disks
    assert (disk.type, disk.device, disk.path, disk.format, disk.target) == (
        "file",
        "disk",
        "/srv/vms/web.qcow2",
        "qcow2",
        "vda",
    )
    assert not disk.shareable and not disk.read_only


@pytest.mark.parametrize(("name", "source"), [("rbd", "rbd:vms/rbd-root"), ("nbd", "nbd:att-17")])
def test_network_disk_has_protocol_and_name(name: str, source: str):
    (disk,) = definition(name).disks
    assert (disk.type, disk.network, disk.path) == ("network", source, None)


def test_block_disk_and_pool_volume_say_what_they_are():
    block, volume = definition("san").disks
    assert (block.type, block.path, block.shareable) == ("block", "/dev/mapper/mpatha", True)
    assert (volume.type, volume.volume, volume.path) == ("volume", "default/san-data.qcow2", None)


def test_drives_are_told_from_disks_and_may_be_empty():
    _, iso, empty, floppy = definition("installer").disks
    assert (iso.device, iso.read_only, iso.is_empty) == ("cdrom", True, False)
    assert empty.is_empty
    assert (floppy.device, floppy.optional) == ("floppy", True)


def test_interface_of_open_vswitch_keeps_its_port():
    (interface,) = definition("ovs").interfaces
    assert (interface.mac, interface.bridge, interface.openvswitch) == ("fa:16:3e:0a:11:22", "br-int", True)
    assert interface.interface_id == "5f9f4a0b-3c88-4e33-8f8e-0d8b9f3f5a11"
    assert interface.network_name == "br-int"


def test_interface_on_a_libvirt_network_is_named_after_it():
    (interface,) = definition("windows").interfaces
    assert (interface.type, interface.network, interface.bridge, interface.model) == (
        "network",
        "production",
        None,
        "e1000e",
    )
    assert interface.network_name == "production"


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("web", []),
        ("gpu", ["PCI device 0000:3b:00.0", "USB device 0529:0001"]),
        ("vgpu", ["mediated device c2177883-f1bb-47f0-914d-32a22e3a8804"]),
        ("dpdk", ["network function 0000:81:10.2", "vhostuser interface /var/run/openvswitch/vhu-dpdk-0"]),
    ],
)
def test_devices_of_the_host_are_named(name: str, held: list[str]):
    assert sorted(each.label for each in definition(name).passthrough) == held


def test_custom_cpu_names_its_model():
    old = definition("old-cpu")
    assert (old.cpu_mode, old.cpu_model, old.machine) == ("custom", "Icelake-Server-noTSX", "pc-i440fx-bionic")


def test_files_that_the_guest_starts_from_are_listed():
    assert definition("emulated").boot_files == ("/srv/vms/boot/vmlinux", "/srv/vms/boot/initrd.img")
    assert definition("macvtap").directories == ("/home/ann/www",)


@pytest.mark.parametrize(
    ("name", "signal", "epoch"), [("web", "agent", 0), ("emulated", "serial", 4), ("rbd", None, 0)]
)
def test_metadata_says_the_signal_and_the_epoch(name: str, signal: str | None, epoch: int):
    found = definition(name)
    assert (found.signal, found.epoch) == (signal, epoch)


def test_emulated_tpm_is_seen():
    assert definition("windows").tpm_state and not definition("web").tpm_state


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><domain><name>&b;</name></domain>'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not XML"),
        ("<domain>", "not XML"),
        ("<network><name>default</name></network>", "is a <network>"),
        ("<domain><name>a</name><uuid>u</uuid></domain>", "no <memory>"),
        ("<domain><name>a</name><memory>1024</memory></domain>", "no <uuid>"),
        ("<domain><name>a</name><uuid>u</uuid><memory unit='furlong'>1</memory></domain>", "amount of memory"),
        ("<domain><name>a</name><uuid>u</uuid><memory>1024</memory><vcpu>none</vcpu></domain>", "number of virtual"),
        (BOMB, "document type"),
    ],
)
def test_definition_is_refused_in_one_line_when_it_is_malformed(text: str, why: str):
    with pytest.raises(MalformedDefinitionError) as refused:
        parse_definition(text)
    assert why in refused.value.line and "\n" not in refused.value.line
