"""What a claim is shown page by page is what the rules choose of all hosts; when nothing fits, all are named."""

from random import Random

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from evacuation.capabilities import HostCapabilities
from evacuation.errors import EvacuateError, NoValidHostError
from evacuation.fleet import Fleet
from evacuation.model import GroupPolicy, Placement
from evacuation.placement import place
from services.sql import SqlServices
from services.sql.ledger import choosing
from services.sql.ledger.candidates import all_candidates, totals, used_by_host
from services.sql.ledger.choosing import choose, request_of
from services.sql.ledger.judging import Judge, Reports
from services.sql.tables import HostRow, InstanceRow
from tests.integration.sql.world import World, host, instance

NAMES = ("cmp-1", "cmp-10", "cmp-2", "cmp_3", "Cmp-4", "cmp.5", "a-6", "Z-7", "cmp-8", "cmp-9")
"""That languages sort otherwise than bytes do."""
DEFINITION = """<domain type="kvm"><name>n</name><uuid>6f2c1d3a-0b8e-4d5f-9a61-00000000000{n}</uuid>
<memory unit="MiB">512</memory><os><type arch="x86_64" machine="q35">hvm</type></os></domain>"""


def fleet(random: Random) -> Fleet:
    def a_host(name: str) -> dict[str, object]:
        zone, traits = random.choice(("az1", "az2")), random.sample(("SSD", "GPU"), random.randint(0, 2))
        sizes = {"memory_mb": random.choice((2048, 4096, 4096, 8192)), "vcpus": random.choice((4, 4, 8))}
        sizes["max_evacuations"] = random.choice((1, 2, 10))
        ratio = random.choice((1.0, 1.5, 1.37))
        return host(name, availability_zone=zone, traits=traits, ram_allocation_ratio=ratio, **sizes)

    def an_instance(number: int) -> dict[str, object]:
        flavor = {"vcpus": random.choice((1, 2)), "memory_mb": random.choice((512, 1024)), "disk_gb": 1}
        group = random.choice((None, None, *GroupPolicy))
        more = {"server_group": group, "availability_zone": random.choice((None, None, "az1"))}
        more["traits"] = ["SSD"] if random.random() < 0.2 else []
        on = "src" if number < 10 else random.choice(NAMES)
        return instance(f"vm-{number:02}", on, flavor=flavor, **{key: value for key, value in more.items() if value})

    hosts = [host("src", vcpus=64, memory_mb=65536), *(a_host(name) for name in random.sample(NAMES, len(NAMES)))]
    groups = [{"name": policy, "policy": policy} for policy in GroupPolicy]
    instances = [an_instance(number) for number in range(16)]
    return Fleet.model_validate({"hosts": hosts, "server_groups": groups, "instances": instances})


def unsettle(session: Session, random: Random) -> None:
    """Some hosts are down, disabled, or cannot run what some instances ask for."""
    for row in session.exec(select(HostRow).where(HostRow.name != "src")).all():
        row.enabled = random.random() > 0.15
        machine = random.choice(("q35", "q35", "pc"))
        row.capabilities = random.choice((None, HostCapabilities(machines={"x86_64": (machine,)})))
    for number, row in enumerate(session.exec(select(InstanceRow).where(InstanceRow.host == "src")).all()):
        row.definition = random.choice((None, None, DEFINITION.format(n=number), "<domain"))


def of_all(session: Session, row: InstanceRow, target: str | None, excluded: dict[str, str]) -> Placement:
    hosts = all_candidates(session)
    unable = Judge(Reports(session), row).unable([each.name for each in hosts])
    asked = {"target": target, "excluded": excluded, "unable": unable}
    return place(request_of(session, row).model_copy(update=asked), hosts)


def compare(session: Session, random: Random) -> int:
    """How many found a host."""
    found = 0
    for row in session.exec(select(InstanceRow).where(InstanceRow.host == "src")).all():
        target = random.choice((None, None, None, "cmp-2"))
        excluded = dict.fromkeys(random.sample(NAMES, random.randint(0, 2)), "it refused")
        choice, expected = choose(session, row, target, excluded), of_all(session, row, target, excluded)
        assert choice.placement.chosen[:1] == expected.chosen[:1], (row.name, row.server_group)
        if not expected.chosen:
            assert choice.placement.rejected == expected.rejected
        found += bool(expected.chosen)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_choice_is_what_the_rules_would_choose_of_all_hosts(
    services: SqlServices, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(choosing, "PAGE", 2)
    random = Random(seed)
    world = World(services, fleet(random))
    services.database.write(unsettle, random)
    world.fence("src")
    found = services.database.read(compare, random)
    for number in range(8):
        evacuation = world.evacuation(f"vm-{number:02}", f"ev-{number}")
        evacuation.begin()
        try:
            evacuation.claim(target=None)
        except EvacuateError:
            continue
        found += services.database.read(compare, random)
    assert found


def room(services: SqlServices) -> dict[str, tuple[int, ...]]:
    """What is left by the host's own row, and by its allocations."""

    def read(session: Session) -> dict[str, tuple[int, ...]]:
        used = used_by_host(session)
        for row in session.exec(select(HostRow)).all():
            left = tuple(t - u for t, u in zip(totals(row), used.get(row.name, (0, 0, 0)), strict=True))
            assert (row.vcpus_free, row.memory_mb_free, row.disk_gb_free) == left, row.name
        return {}

    return services.database.read(read)


def test_claim_finds_the_room_that_the_hosts_row_does_not_know_of(world: World) -> None:
    """The sum of the allocations is what counts."""
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    world.services.database.write(lambda session: session.execute(text("UPDATE host SET memory_mb_free = 0")) and None)
    assert evacuation.claim(target=None).host == "cmp-3"


def test_claim_never_takes_room_that_only_the_hosts_row_knows_of(world: World) -> None:
    def boast(session: Session) -> None:
        session.execute(text("UPDATE host SET memory_mb = 100, memory_mb_free = 9999"))

    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    world.services.database.write(boast)
    with pytest.raises(NoValidHostError) as told:
        evacuation.claim(target=None)
    assert {each.host for each in told.value.hosts} == {"cmp-1", "cmp-2", "cmp-3"}


def test_room_of_every_host_is_kept_through_an_evacuation_and_its_undoing(world: World) -> None:
    room(world.services)
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    room(world.services)
    evacuation.claim()
    room(world.services)
    evacuation.tear_down()
    room(world.services)
    evacuation.finish(2, "cmp-2", evacuation.to_authorized(2).epoch)
    room(world.services)
    world.services.hosts.record_deleted(None, world.id_of("web-03"))
    room(world.services)
