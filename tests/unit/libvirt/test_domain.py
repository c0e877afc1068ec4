"""What a destination makes of a stored definition."""

from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from evacuation.errors import DestinationUnableError
from evacuation.model import RootDisk
from services.definitions.libvirt.metadata import epoch_in, epoch_of, mark_text
from services.definitions.libvirt.names import NAMESPACE
from services.hypervisors.libvirt.options import options_of
from services.hypervisors.libvirt.rewriting import domain_for, text_of
from services.hypervisors.libvirt.signals import awaited_signal
from services.runtime.settings import Settings
from tests.unit.libvirt.world import INSTANCE, MAC, STORED, disk, guest, nic, options


def built(tmp_path: Path, spec=None, **settings) -> Element:
    return domain_for(spec or guest(disks=(disk(),)), options(tmp_path, **settings))


def one(domain: Element, path: str) -> Element:
    found = domain.findall(path)
    assert len(found) == 1, f"{len(found)} of {path}"
    return found[0]


def test_domain_carries_the_new_epoch_and_keeps_other_metadata(tmp_path: Path) -> None:
    text = text_of(built(tmp_path))
    assert epoch_of(text) == 2
    again = text_of(domain_for(guest(5, definition=text, disks=(disk(),)), options(tmp_path)))
    assert epoch_of(again) == 5
    assert again.count("epoch=") == 1
    assert "openstack.org" in again


def test_epoch_is_read_as_libvirt_returns_the_element() -> None:
    assert epoch_in(f'<evacuate:instance xmlns:evacuate="{NAMESPACE}" id="x" epoch="12"/>') == 12
    assert epoch_in('<instance id="x" epoch="3"/>') == 3
    assert epoch_of(STORED) == 0


def test_mark_keeps_the_owners_signal_when_it_is_written_into_a_running_domain() -> None:
    before = f"<e:instance xmlns:e='{NAMESPACE}'><e:signal kind='serial' line='a &lt; b'/></e:instance>"
    text = mark_text(INSTANCE, 7, before)
    assert text == f'<instance id="{INSTANCE}" epoch="7"><signal kind="serial" line="a &lt; b" /></instance>'
    assert mark_text(INSTANCE, 8, text) == text.replace("7", "8")
    assert mark_text(INSTANCE, 1, None) == f'<instance id="{INSTANCE}" epoch="1" />'


def test_domain_keeps_what_the_guest_sees(tmp_path: Path) -> None:
    domain = built(tmp_path)
    assert domain.findtext("name") == "instance-0000002a"
    assert domain.findtext("uuid") == INSTANCE
    assert one(domain, "os/type").get("machine") == "pc-q35-7.2"
    assert one(domain, "devices/disk[@type='file']/source").get("file") == "/shared/web.qcow2"
    assert one(domain, "cpu").get("mode") == "host-passthrough"


def test_domain_drops_what_is_the_old_hosts(tmp_path: Path) -> None:
    domain = built(tmp_path)
    assert domain.get("id") is None
    assert domain.find("devices/emulator") is None
    assert domain.find("seclabel") is None
    assert domain.find(".//alias") is None
    assert domain.find("devices/interface/target") is None


def test_cpu_of_the_processor_is_replaced_when_guests_are_emulated(tmp_path: Path) -> None:
    domain = built(tmp_path, domain_type="qemu")
    assert domain.get("type") == "qemu"
    assert one(domain, "cpu").get("mode") == "maximum"
    assert one(domain, "cpu/topology").get("cores") == "2"


def test_cpu_is_the_hosts_setting_when_there_is_one(tmp_path: Path) -> None:
    assert one(built(tmp_path, cpu="EPYC"), "cpu/model").text == "EPYC"
    assert one(built(tmp_path, cpu="host-model"), "cpu").get("mode") == "host-model"


def test_volume_is_found_by_its_device_and_named_with_the_attachment(tmp_path: Path) -> None:
    source = one(built(tmp_path), "devices/disk[@type='network']/source")
    assert (source.get("protocol"), source.get("name")) == ("nbd", "new-attachment")
    assert one(source, "host").attrib == {"name": "10.0.0.200", "port": "10810"}


def test_volume_waits_for_a_server_that_is_started_again(tmp_path: Path) -> None:
    assert one(built(tmp_path), "devices/disk/source[@name='new-attachment']/reconnect").attrib == {"delay": "20"}
    other = built(tmp_path, reconnect_delay=45)
    assert one(other, "devices/disk/source[@name='new-attachment']/reconnect").attrib == {"delay": "45"}
    new = built(tmp_path, guest(disks=(disk("/dev/vdc"),)))
    assert one(new, "devices/disk/source[@name='new-attachment']/reconnect").attrib == {"delay": "20"}


def test_delay_is_the_hosts_and_not_what_an_older_definition_says(tmp_path: Path) -> None:
    before = text_of(built(tmp_path, reconnect_delay=45))
    again = domain_for(guest(definition=before, disks=(disk(),)), options(tmp_path, reconnect_delay=5))
    assert one(again, "devices/disk/source/reconnect").attrib == {"delay": "5"}
    none = domain_for(guest(definition=before, disks=(disk(),)), options(tmp_path, reconnect_delay=0))
    assert none.find("devices/disk/source/reconnect") is None


def test_delay_is_a_setting_of_the_host() -> None:
    assert options_of(Settings(), "cmp-1").reconnect_delay == 20
    assert options_of(Settings(libvirt_reconnect_delay=7), "cmp-1").reconnect_delay == 7


def test_volume_gets_a_disk_of_its_own_when_the_definition_has_none(tmp_path: Path) -> None:
    domain = built(tmp_path, guest(disks=(disk(), disk("/dev/vdc", attachment_id="third"))))
    names = {each.find("target").get("dev"): each.find("source").get("name") for each in domain.findall("devices/disk")}
    assert names == {"vda": None, "vdb": "new-attachment", "vdc": "third"}


def test_volume_is_refused_when_nobody_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(DestinationUnableError, match="cannot be reached"):
        built(tmp_path, guest(disks=(disk("vdq", target=None),)))


def test_nic_is_found_by_its_mac_and_never_doubled(tmp_path: Path) -> None:
    spec = guest(nics=(nic(mac=MAC.upper(), bridge="br1"),), disks=(disk(),))
    domain = built(tmp_path, spec)
    assert one(domain, "devices/interface/source").get("bridge") == "br1"
    again = domain_for(spec.model_copy(update={"definition": text_of(domain)}), options(tmp_path))
    assert len(again.findall("devices/interface")) == 1


def test_nic_keeps_its_bridge_when_nothing_else_is_said(tmp_path: Path) -> None:
    spec = guest(nics=(nic(),), disks=(disk(),))
    assert one(built(tmp_path, spec), "devices/interface/source").get("bridge") == "br-old"
    assert one(built(tmp_path, spec, bridges={"lan": "br0"}), "devices/interface/source").get("bridge") == "br0"


def test_nic_joins_open_vswitch_by_its_port(tmp_path: Path) -> None:
    spec = guest(nics=(nic(mac="52:54:00:00:00:09", bridge="br-int", openvswitch=True),), disks=(disk(),))
    port = one(built(tmp_path, spec), "devices/interface/virtualport")
    assert port.get("type") == "openvswitch"
    assert one(port, "parameters").get("interfaceid") == "port-1"


def test_nic_is_refused_when_no_bridge_is_known(tmp_path: Path) -> None:
    with pytest.raises(DestinationUnableError, match="no bridge") as caught:
        built(tmp_path, guest(nics=(nic(mac="52:54:00:00:00:09"),), disks=(disk(),)))
    assert "EVACUATE_LIBVIRT_BRIDGES" in caught.value.remedy


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("<domain", "is not XML"),
        ("<network/>", "not a <domain>"),
        (STORED.replace(INSTANCE, "bbbbbbbb-0000-4000-8000-000000000001"), "not of"),
    ],
)
def test_definition_is_refused_when_it_is_not_this_instances(tmp_path: Path, definition: str, says: str) -> None:
    with pytest.raises(DestinationUnableError, match=says):
        built(tmp_path, guest(definition=definition))


def test_plain_domain_is_made_from_flavor_and_shared_disk_when_nothing_is_stored(tmp_path: Path) -> None:
    (tmp_path / f"{INSTANCE}.qcow2").touch()
    spec = guest(definition=None, nics=(nic(),))
    domain = built(tmp_path, spec, shared_dirs=(tmp_path,), bridges={"lan": "br0"})
    assert domain.findtext("memory") == "512"
    assert one(domain, "devices/disk/source").get("file") == str(tmp_path / f"{INSTANCE}.qcow2")
    assert one(domain, "devices/disk/driver").get("type") == "qcow2"
    assert one(domain, "devices/interface/mac").get("address") == MAC


def test_plain_domain_has_no_file_when_the_root_disk_is_a_volume(tmp_path: Path) -> None:
    spec = guest(definition=None, root_disk=RootDisk.VOLUME, disks=(disk("vda"),))
    assert one(built(tmp_path, spec), "devices/disk/source").get("name") == "new-attachment"


def test_plain_domain_is_refused_when_its_disk_is_not_visible(tmp_path: Path) -> None:
    with pytest.raises(DestinationUnableError, match="no root disk"):
        built(tmp_path, guest(definition=None), shared_dirs=(tmp_path,))


def test_template_is_filled_when_nothing_is_stored(tmp_path: Path) -> None:
    template = tmp_path / "domain.xml"
    template.write_text("<domain><name>$name</name><os><cmdline>at=$host epoch=$epoch ip=$ip</cmdline></os></domain>")
    domain = built(tmp_path, guest(3, definition=None, nics=(nic(),)), template=template, bridges={"lan": "br0"})
    assert domain.findtext("os/cmdline") == "at=cmp-2 epoch=3 ip=10.0.0.5"


def test_template_is_refused_when_it_has_an_unknown_placeholder(tmp_path: Path) -> None:
    template = tmp_path / "domain.xml"
    template.write_text("<domain><name>$nobody</name></domain>")
    with pytest.raises(DestinationUnableError, match="unknown placeholder"):
        built(tmp_path, guest(definition=None), template=template)


def test_local_definition_serves_when_nothing_is_stored(tmp_path: Path) -> None:
    domain = domain_for(guest(definition=None, disks=(disk(),)), options(tmp_path), local=STORED)
    assert domain.findtext("name") == "instance-0000002a"


def test_signal_is_the_requests_then_the_definitions_then_the_hosts(tmp_path: Path) -> None:
    own = f"<e:instance xmlns:e='{NAMESPACE}'><e:signal kind='agent'/></e:instance>"
    annotated = STORED.replace("<metadata>", f"<metadata>{own}")
    host = options(tmp_path, signal="serial")
    for spec, kind in (
        (guest(disks=(disk(),)), "serial"),
        (guest(definition=annotated, disks=(disk(),)), "agent"),
        (guest(definition=annotated, signal="none", disks=(disk(),)), "none"),
    ):
        assert awaited_signal(domain_for(spec, host), spec, host).kind == kind


def test_console_is_kept_in_a_file_when_it_is_the_signal(tmp_path: Path) -> None:
    spec, host = guest(signal="serial", disks=(disk(),)), options(tmp_path)
    domain = domain_for(spec, host)
    awaited = awaited_signal(domain, spec, host)
    log = one(domain, "devices/serial/log")
    assert (log.get("file"), log.get("append")) == (str(awaited.console), "off")
    assert domain.find("devices/console") is None


@pytest.mark.parametrize(
    ("removed", "signal"),
    [("serial", "serial"), ("channel", "agent"), ("interface", "ping")],
)
def test_signal_is_refused_when_the_guest_cannot_give_it(tmp_path: Path, removed: str, signal: str) -> None:
    spec, host = guest(signal=signal, disks=(disk(),)), options(tmp_path)
    domain = domain_for(spec, host)
    for device in domain.findall(f"devices/{removed}"):
        domain.find("devices").remove(device)
    with pytest.raises(DestinationUnableError) as caught:
        awaited_signal(domain, spec, host)
    assert "another signal" in caught.value.remedy
