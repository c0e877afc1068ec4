"""Fleet files: what is wrong in one line with file, line and field; what is right comes back as it was written."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evacuation.errors import FleetError
from evacuation.fleet import Fleet, FleetHost
from evacuation.model import GroupPolicy, RootDisk, TaskState, VmState
from services.runtime.fleet_file import read_fleet, write_fleet

GOOD = """\
hosts:
  - {name: cmp-1, vcpus: 4, memory_mb: 4096, disk_gb: 50}
  - {name: cmp-2, vcpus: 4, memory_mb: 4096, disk_gb: 50}
networks:
  - {name: lan, cidr: 10.0.0.0/24}
volumes:
  - {name: data-1, size_gb: 10}
server_groups:
  - {name: db, policy: anti-affinity}
instances:
  - name: web-01
    host: cmp-1
    flavor: {vcpus: 1, memory_mb: 512, disk_gb: 5}
    ports:
      - network: lan
    volumes: [data-1]
    server_group: db
  - name: web-02
    host: cmp-2
    flavor: {vcpus: 1, memory_mb: 512, disk_gb: 5}
"""


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FleetError) as caught:
        read_fleet(path)
    assert "\n" not in caught.value.line
    assert caught.value.remedy
    return caught.value.message


def read(tmp_path: Path, text: str) -> Fleet:
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    return read_fleet(path)


def test_read_fills_in_what_is_left_out(tmp_path: Path):
    fleet = read(tmp_path, GOOD)
    first, second = fleet.instances
    assert (first.vm_state, first.task_state, first.root_disk) == (VmState.ACTIVE, None, RootDisk.SHARED)
    assert (first.project, first.priority, first.evacuate) == ("default", 3, True)
    assert (second.ports, second.volumes, second.server_group) == ((), (), None)
    assert (fleet.hosts[0].cpu_allocation_ratio, fleet.hosts[0].max_evacuations, fleet.disk_lock) == (1.0, 10, True)


BAD = [
    ("vcpus: 4, memory_mb: 4096", "vcpus: four, memory_mb: 4096", "2: hosts[0].vcpus: input should be a valid integer"),
    ("vcpus: 4, memory_mb: 4096", 'vcpus: "4", memory_mb: 4096', "2: hosts[0].vcpus: input should be a valid integer"),
    ("vcpus: 4, memory_mb: 4096", "vcpus: 0, memory_mb: 4096", "2: hosts[0].vcpus: input should be greater than or"),
    ("vcpus: 4, memory_mb: 4096", "vcpus: true, memory_mb: 4096", "2: hosts[0].vcpus: input should be a valid"),
    ("vcpus: 4, memory_mb: 4096", "memory_mb: 4096", "2: hosts[0].vcpus: the key is missing"),
    ("disk_gb: 50}\n  - {name: cmp-2", "disc: 50}\n  - {name: cmp-2", "2: hosts[0].disk_gb: the key is missing"),
    ("disk_gb: 50}\n  -", "disk_gb: 50, colour: red}\n  -", "2: hosts[0].colour: unknown key; known: name, vcpus,"),
    (
        "    server_group: db\n",
        "    servergroup: db\n",
        "17: instances[0].servergroup: unknown key; known: name, host,",
    ),
    ("      - network: lan", "      - net: lan", "15: instances[0].ports[0].network: the key is missing"),
    ("networks:\n", "nets: []\nnetworks:\n", "4: nets: unknown key; known: hosts, networks,"),
    ("name: cmp-2, vcpus", "name: cmp-1, vcpus", '3: hosts[1].name: duplicate name "cmp-1": hosts[0] has it'),
    ("name: web-02", "name: web-01", '18: instances[1].name: duplicate name "web-01": instances[0] has it'),
    ("network: lan", "network: lna", '15: instances[0].ports[0].network: unknown network "lna"; known: lan'),
    ("volumes: [data-1]", "volumes: [data-9]", '16: instances[0].volumes[0]: unknown volume "data-9"; known: data-1'),
    ("server_group: db", "server_group: bd", '17: instances[0].server_group: unknown server group "bd"; known: db'),
    ("    host: cmp-2", "    host: cmp-9", '19: instances[1].host: unknown host "cmp-9"; known: cmp-1, cmp-2'),
    ("    host: cmp-2", "    host: cmp-2\n    volumes: [data-1]", '20: instances[1].volumes[0]: volume "data-1" is'),
    ("[data-1]", "[data-1, data-1]", '16: instances[0].volumes[1]: volume "data-1" is attached to web-01 already'),
    ("cidr: 10.0.0.0/24", "cidr: 10.0.0.1/24", "5: networks[0].cidr: not a network: 10.0.0.1/24 has host bits set"),
    ("cidr: 10.0.0.0/24", "cidr: lan", "5: networks[0].cidr: not a network: 'lan' does not appear"),
    ("10.0.0.0/24", "10.0.0.0/31", "5: networks[0].cidr: 10.0.0.0/31 has 0 addresses for guests, 1 ports need one"),
    ("policy: anti-affinity", "policy: apart", "9: server_groups[0].policy: input should be 'affinity', 'anti-"),
    ("name: web-02", "name: web 02", "18: instances[1].name: a name has letters, digits, dot, dash, underscore"),
    ("name: web-02", "name: 42", "18: instances[1].name: should be text"),
    ("    host: cmp-2", "    host: cmp-2\n    priority: 6", "20: instances[1].priority: input should be less than or"),
    ("    host: cmp-2", "    host: cmp-2\n    priority: 0", "20: instances[1].priority: input should be greater than"),
    ("    host: cmp-2", "    host: cmp-2\n    evacuate: 1", "20: instances[1].evacuate: input should be a valid bool"),
    ("    host: cmp-2", "    host: cmp-2\n    vm_state: deleted", "20: instances[1].vm_state: a deleted instance is"),
    ("    host: cmp-2", "    host: cmp-2\n    vm_state: up", "20: instances[1].vm_state: input should be 'active',"),
    ("    host: cmp-2", "    host: cmp-2\n    task_state: odd", "20: instances[1].task_state: input should be 'reb"),
    ("    host: cmp-2", "    host: cmp-2\n    root_disk: nfs", "20: instances[1].root_disk: input should be 'shared'"),
    ("    host: cmp-2", "    host: cmp-2\n    host: cmp-1", "20: instances[1].host: the key is given twice, first in"),
    ("volumes: [data-1]", "volumes: data-1", "16: instances[0].volumes: should be a list"),
    ("name: cmp-1, vcpus: 4", "name: cmp-1, vcpus: 4, max_evacuations: 0", "2: hosts[0].max_evacuations: input should"),
    ("name: cmp-1, vcpus: 4", "name: cmp-1, cpu_allocation_ratio: .inf, vcpus: 4", "2: hosts[0].cpu_allocation_ratio:"),
]


@pytest.mark.parametrize(("right", "wrong", "says"), BAD, ids=[says[:60] for _, _, says in BAD])
def test_read_names_file_line_and_field(tmp_path: Path, right: str, wrong: str, says: str):
    assert right in GOOD
    message = refusal(tmp_path, GOOD.replace(right, wrong, 1))
    assert message.startswith(f"fleet.yaml:{says}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "fleet.yaml:1: the file is empty"),
        ("# nothing\n", "fleet.yaml:1: the file is empty"),
        ("- cmp-1\n", "fleet.yaml:1: a fleet is a mapping"),
        ("hello\n", "fleet.yaml:1: a fleet is a mapping"),
        ("hosts: []\n", "fleet.yaml:1: hosts: should have at least one entry"),
        ("hosts: [cmp-1]\n", "fleet.yaml:1: hosts[0]: should be a mapping"),
        ("hosts: {cmp-1: {}}\n", "fleet.yaml:1: hosts: should be a list"),
        ("networks: []\n", "fleet.yaml:1: hosts: the key is missing"),
        ("hosts:\n  - {name: a\n", "fleet.yaml:3: not valid YAML: "),
        ("hosts:\n\t- a\n", "fleet.yaml:2: not valid YAML: "),
        ("hosts: !!python/object:os.system {}\n", "fleet.yaml: not valid YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "fleet.yaml:2: not valid YAML: "),
        ("hosts: &h [*h]\n", "fleet.yaml:1: hosts[0]: "),
        ("hosts: [\x00]\n", "fleet.yaml: not valid YAML: "),
        ("? [a]\n: b\n", "fleet.yaml: not valid YAML: "),
        ("hosts: *nobody\n", "fleet.yaml:1: not valid YAML: "),
        ("hosts: " + "[" * 5000, "fleet.yaml: not valid YAML: "),
    ],
)
def test_read_refuses_what_is_no_fleet_in_one_line(tmp_path: Path, text: str, says: str):
    assert refusal(tmp_path, text).startswith(says)


def test_read_refuses_bytes_that_are_no_text(tmp_path: Path):
    path = tmp_path / "fleet.yaml"
    path.write_bytes(b"hosts: \xff\xfe")
    with pytest.raises(FleetError, match="UTF-8"):
        read_fleet(path)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_read_refuses_a_path_that_it_cannot_read(tmp_path: Path, name: str):
    with pytest.raises(FleetError, match=r"no such file|cannot be read"):
        read_fleet(tmp_path / name)


def test_read_names_the_first_problem_by_line_and_counts_the_others(tmp_path: Path):
    text = GOOD.replace("network: lan", "network: lna").replace("host: cmp-2", "host: cmp-9")
    message = refusal(tmp_path, text)
    assert message.startswith("fleet.yaml:15: instances[0].ports[0].network")
    assert message.endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("resource", "flavor", "total", "need"),
    [
        ("vcpus", "{vcpus: 3, memory_mb: 1, disk_gb: 1}", 4, 6),
        ("memory_mb", "{vcpus: 1, memory_mb: 2049, disk_gb: 1}", 4096, 4098),
        ("disk_gb", "{vcpus: 1, memory_mb: 1, disk_gb: 26}", 50, 52),
    ],
)
def test_read_names_host_and_resource_when_there_are_more_guests_than_it_holds(
    tmp_path: Path, resource: str, flavor: str, total: int, need: int
):
    small = "{vcpus: 1, memory_mb: 512, disk_gb: 5}"
    local = f"{flavor}\n    root_disk: local"
    message = refusal(tmp_path, GOOD.replace("    host: cmp-2", "    host: cmp-1").replace(small, local))
    assert message.startswith(f"fleet.yaml:2: hosts[0].{resource}: cmp-1 has {total} {resource}")
    assert message.endswith(f"its guests need {need}")


@pytest.mark.parametrize("root_disk", ["shared", "volume"])
def test_read_counts_no_disk_that_its_host_does_not_store(tmp_path: Path, root_disk: str):
    big = f"{{vcpus: 1, memory_mb: 512, disk_gb: 4000}}\n    root_disk: {root_disk}"
    fleet = read(tmp_path, GOOD.replace("{vcpus: 1, memory_mb: 512, disk_gb: 5}", big))
    assert fleet.instances[0].flavor.disk_gb == 4000


UUID = "0f2c1d3a-0b8e-4d5f-9a61-00000000000f"


@pytest.mark.parametrize("form", [UUID, UUID.upper(), UUID.replace("-", ""), "0-" + UUID[1:].replace("-", "")])
@pytest.mark.parametrize(
    ("name", "where"), [("cmp-2", "3: hosts[1]"), ("data-1", "7: volumes[0]"), ("web-02", "18: instances[1]")]
)
def test_read_refuses_a_name_that_would_be_taken_for_an_id(tmp_path: Path, name: str, where: str, form: str):
    message = refusal(tmp_path, GOOD.replace(name, form))
    assert message == f'fleet.yaml:{where}.name: "{form}" has the form of a uuid, and would be taken for an id'


def test_read_takes_a_project_that_is_a_uuid(tmp_path: Path):
    fleet = read(tmp_path, GOOD.replace("    host: cmp-2", f"    host: cmp-2\n    project: {UUID.replace('-', '')}"))
    assert fleet.instances[1].project == UUID.replace("-", "")


def test_read_counts_the_allocation_ratio_as_room(tmp_path: Path):
    crowded = GOOD.replace("vcpus: 1", "vcpus: 4").replace("    host: cmp-2", "    host: cmp-1")
    ratio = crowded.replace("name: cmp-1, vcpus: 4,", "name: cmp-1, cpu_allocation_ratio: 2, vcpus: 4,")
    assert refusal(tmp_path, crowded).startswith("fleet.yaml:2: hosts[0].vcpus")
    assert read(tmp_path, ratio).hosts[0].cpu_allocation_ratio == 2


def test_read_takes_an_alias_for_what_is_the_same_in_many_places(tmp_path: Path):
    small = "{vcpus: 1, memory_mb: 512, disk_gb: 5}"
    text = GOOD.replace(small, f"&small {small}", 1).replace(f"flavor: {small}", "flavor: *small")
    assert read(tmp_path, text) == read(tmp_path, GOOD)


def test_fleet_is_sound_whoever_makes_it():
    host = FleetHost(name="cmp-1", vcpus=1, memory_mb=1, disk_gb=1)
    with pytest.raises(ValidationError, match="duplicate name"):
        Fleet(hosts=(host, host))


def test_fleet_on_networks_takes_one_address_for_each_port(tmp_path: Path):
    narrow = GOOD.replace("10.0.0.0/24", "10.0.0.0/30")
    assert read(tmp_path, narrow).networks[0].cidr == "10.0.0.0/30"
    two = narrow.replace("      - network: lan", "      - network: lan\n      - network: lan")
    assert refusal(tmp_path, two).startswith("fleet.yaml:5: networks[0].cidr: 10.0.0.0/30 has 1 addresses")


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True) | st.sampled_from(
    ["on", "null", "1e3", "0x1"]
)
RATIOS = st.floats(1, 16)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    def names(most: int, least: int = 0) -> list[str]:
        return draw(st.lists(NAMES, min_size=least, max_size=most, unique=True))

    hosts, networks, volumes, groups = names(3, 1), names(2), names(4), names(2)
    free = list(volumes)
    return Fleet.model_validate(
        {
            "hosts": [
                {
                    "name": name,
                    "vcpus": 64,
                    "memory_mb": 65536,
                    "disk_gb": 640,
                    "availability_zone": draw(NAMES),
                    "traits": names(2),
                    "cpu_allocation_ratio": draw(RATIOS),
                    "max_evacuations": draw(st.integers(1, 20)),
                }
                for name in hosts
            ],
            "networks": [
                {"name": name, "cidr": draw(st.sampled_from(["10.0.0.0/24", "fd00::/64"]))} for name in networks
            ],
            "volumes": [{"name": name, "size_gb": draw(st.integers(1, 100))} for name in volumes],
            "server_groups": [{"name": name, "policy": draw(st.sampled_from(GroupPolicy))} for name in groups],
            "instances": [
                {
                    "name": name,
                    "host": draw(st.sampled_from(hosts)),
                    "vm_state": draw(st.sampled_from(sorted(set(VmState) - {VmState.DELETED}))),
                    "task_state": draw(st.none() | st.sampled_from(TaskState)),
                    "root_disk": draw(st.sampled_from(RootDisk)),
                    "flavor": {"vcpus": draw(st.integers(1, 8)), "memory_mb": 512, "disk_gb": draw(st.integers(0, 80))},
                    "ports": [{"network": each} for each in draw(st.permutations(networks))],
                    "volumes": [free.pop()] if free and draw(st.booleans()) else [],
                    "server_group": draw(st.sampled_from([None, *groups])),
                    "project": draw(NAMES),
                    "priority": draw(st.integers(1, 5)),
                    "evacuate": draw(st.booleans()),
                    "availability_zone": draw(st.none() | NAMES),
                    "traits": names(2),
                }
                for name in names(5)
            ],
            "disk_lock": draw(st.booleans()),
        }
    )


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(fleets())
def test_a_fleet_that_is_written_reads_as_it_was(tmp_path: Path, fleet: Fleet):
    assert read(tmp_path, write_fleet(fleet)) == fleet
