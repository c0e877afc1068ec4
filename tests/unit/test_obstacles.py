import pytest

from evacuation.capabilities import HostCapabilities, SeenDomain, SharedDirectory
from services.definitions.libvirt.obstacles import Destination, why_not
from tests.unit.test_definition import definition

SHARED = SharedDirectory(path="/srv/vms", marker="m-1")
ABLE = HostCapabilities(
    hypervisor_version="9.0.0",
    machines={"x86_64": ("pc", "q35", "pc-q35-7.2", "pc-i440fx-bionic")},
    cpu_models=("Icelake-Server-noTSX", "EPYC"),
    network_devices=("lo", "eno1", "br0", "br-int"),
    networks=("production",),
    shared=(SHARED,),
)


def causes(name: str, there: HostCapabilities | None = ABLE, here: HostCapabilities | None = ABLE) -> list[str]:
    found = why_not(definition(name), Destination(name="cmp-2", capabilities=there), source=here)
    assert all(each.remedy and "\n" not in each.line for each in found)
    assert {each.host for each in found} <= {None, "cmp-2"}
    return [each.line.removesuffix(f": {each.remedy}") for each in found]


def lacking(**what: object) -> HostCapabilities:
    return ABLE.model_copy(update=what)


@pytest.mark.parametrize("name", ["web", "ovs", "rbd", "nbd", "old-cpu", "emulated"])
def test_guest_can_move_when_the_destination_has_everything(name: str):
    assert causes(name) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("local-root", ["disk vda (/var/lib/libvirt/images/local-root.qcow2) is local"]),
        ("local-data", ["disk vdb (/var/lib/libvirt/images/scratch.raw) is local"]),
        ("gpu", ["it holds the PCI device 0000:3b:00.0 of its host", "it holds the USB device 0529:0001 of its host"]),
        ("vgpu", ["it holds the mediated device c2177883-f1bb-47f0-914d-32a22e3a8804 of its host"]),
        ("installer", ["the medium in its cdrom drive (/home/ann/debian-12.iso) is local"]),
        ("windows", ["the state of its emulated TPM is local"]),
        (
            "san",
            [
                "disk vda is the block device /dev/mapper/mpatha",
                "disk vdb (volume default/san-data.qcow2 of a storage pool) is local",
            ],
        ),
        ("macvtap", ["the directory /home/ann/www, which it has mounted, is local"]),
    ],
)
def test_guest_cannot_move_anywhere_when_it_depends_on_its_host(name: str, expected: list[str]):
    assert causes(name) == expected


def test_directory_is_not_shared_when_only_its_path_is_the_same():
    other = lacking(shared=(SharedDirectory(path="/srv/vms", marker="m-2"),))
    assert causes("web", other) == ["cmp-2 does not see the shared directory of /srv/vms/web.qcow2"]


def test_directory_is_not_shared_when_its_name_only_begins_the_same():
    near = lacking(shared=(SharedDirectory(path="/srv/vm", marker="m-1"),))
    assert causes("web", near, near) == ["disk vda (/srv/vms/web.qcow2) is local"]


def test_kernel_below_the_shared_directory_must_be_seen():
    gone = [cause for cause in causes("emulated", lacking(shared=())) if "vmlinux" in cause]
    assert gone == ["cmp-2 does not see the shared directory of /srv/vms/boot/vmlinux"]


def test_kernel_elsewhere_is_taken_to_be_installed():
    moved = definition("emulated").model_copy(update={"boot_files": ("/boot/vmlinux",)})
    assert why_not(moved, Destination(name="cmp-2", capabilities=ABLE), source=ABLE) == ()


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [
        ("old-cpu", lacking(cpu_models=("EPYC",)), ["cmp-2 cannot run CPU model Icelake-Server-noTSX"]),
        ("web", lacking(machines={"x86_64": ("pc",)}), ["cmp-2 has no machine type pc-q35-7.2"]),
        ("web", lacking(machines={"aarch64": ("virt",)}), ["cmp-2 runs no x86_64 guests"]),
        ("web", lacking(network_devices=("lo",)), ["cmp-2 has no bridge br0"]),
        (
            "windows",
            lacking(networks=()),
            ["the state of its emulated TPM is local", "cmp-2 has no active network production"],
        ),
        (
            "macvtap",
            lacking(network_devices=()),
            ["the directory /home/ann/www, which it has mounted, is local", "cmp-2 has no network device eno1"],
        ),
        ("web", lacking(bridges={"br0": "br-lan"}), ["cmp-2 has no bridge br-lan"]),
        ("ovs", lacking(bridges={"br-int": "br0"}), []),
    ],
)
def test_destination_is_refused_when_it_lacks_something(name: str, there: HostCapabilities, expected: list[str]):
    assert causes(name, there) == expected


def test_destination_may_replace_what_it_does_not_name():
    assert causes("old-cpu", lacking(cpu_models=None, machines=None, network_devices=None)) == []


def test_uuid_on_the_destination_is_an_obstacle_only_while_it_runs():
    web = definition("web")
    seen = SeenDomain(id=web.id, name="web", active=True)
    assert causes("web", lacking(domains=(seen,))) == ["cmp-2 runs a domain with its uuid already"]
    assert causes("web", lacking(domains=(seen.model_copy(update={"active": False}),))) == []


def test_name_on_the_destination_is_an_obstacle_when_it_is_anothers():
    other = SeenDomain(id="0" * 8, name="web", active=False)
    assert causes("web", lacking(domains=(other,))) == ["cmp-2 has another domain of its name"]


def test_host_that_never_reported_is_told():
    assert causes("web", None) == ["cmp-2 has not said what it can run"]


def test_every_disk_is_local_when_the_source_never_reported():
    assert causes("web", ABLE, None) == ["disk vda (/srv/vms/web.qcow2) is local"]
