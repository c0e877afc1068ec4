"""Which hosts may take an instance, in which order, and why not the others."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evacuation.model import Candidate, Flavor, GroupMember, GroupPolicy, PlacementRequest, Rejection
from evacuation.placement import explain, place


def host(name: str, **differs: object) -> Candidate:
    usual = {
        "enabled": True,
        "up": True,
        "vcpus": 8,
        "vcpus_used": 0,
        "memory_mb": 8192,
        "memory_mb_used": 0,
        "disk_gb": 100,
        "disk_gb_used": 0,
        "availability_zone": "az1",
    }
    return Candidate.model_validate({"name": name, **usual, **differs})


def request(**differs: object) -> PlacementRequest:
    usual = {"flavor": Flavor(vcpus=2, memory_mb=1024, disk_gb=10), "source": "cmp-1"}
    return PlacementRequest.model_validate({**usual, **differs})


def member(name: str, *hosts: str) -> GroupMember:
    return GroupMember(name=name, hosts=frozenset(hosts))


@pytest.mark.parametrize(
    ("differs", "reason"),
    [
        ({"enabled": False}, "disabled"),
        ({"up": False}, "down"),
        ({"availability_zone": "az2"}, "in zone az2, needs zone az1"),
        ({"traits": {"AVX"}}, "lacks GPU, SSD"),
        ({"vcpus_used": 7}, "needs 2 vcpus, 1 free"),
        ({"memory_mb_used": 8000}, "needs 1024 MiB of memory, 192 free"),
        ({"disk_gb_used": 91}, "needs 10 GiB of disk, 9 free"),
        ({"vcpus_used": 9, "disk_gb_used": 100}, "needs 2 vcpus, 0 free, needs 10 GiB of disk, 0 free"),
    ],
)
def test_place_rejects_a_host_that_does_not_fit_with_the_reason(differs: dict[str, object], reason: str):
    needs = request(availability_zone="az1", required_traits={"GPU", "SSD"})
    unfit = host("cmp-2", **{"traits": {"GPU", "SSD"}, **differs})
    assert place(needs, [unfit]).rejected == (Rejection(host="cmp-2", reason=reason),)


def test_place_rejects_the_source_though_it_has_room():
    assert place(request(), [host("cmp-1")]).rejected == (Rejection(host="cmp-1", reason="it is the source"),)


def test_place_rejects_a_host_that_cannot_bring_up_the_guest():
    needs = request(unable={"cmp-2": "has no bridge br0"})
    found = place(needs, [host("cmp-2"), host("cmp-3")])
    assert found.chosen == ("cmp-3",)
    assert found.rejected == (Rejection(host="cmp-2", reason="has no bridge br0"),)


def test_place_rejects_an_excluded_host_with_the_reason_given():
    placement = place(request(excluded={"cmp-2": "SpawnFailedError: no kvm"}), [host("cmp-2"), host("cmp-3")])
    assert placement.chosen == ("cmp-3",)
    assert placement.rejected == (Rejection(host="cmp-2", reason="SpawnFailedError: no kvm"),)


def test_place_takes_the_named_target_only_when_one_is_named():
    placement = place(request(target="cmp-3"), [host("cmp-2"), host("cmp-3", memory_mb_used=7000)])
    assert placement.chosen == ("cmp-3",)
    assert placement.rejected == (Rejection(host="cmp-2", reason="the named target is cmp-3"),)


def test_place_chooses_nothing_when_the_named_target_is_full():
    placement = place(request(target="cmp-3"), [host("cmp-2"), host("cmp-3", vcpus_used=8)])
    assert placement.chosen == ()
    assert explain(placement.rejected) == "cmp-2: the named target is cmp-3; cmp-3: needs 2 vcpus, 0 free"


def test_place_fills_a_host_to_the_last_unit():
    assert place(request(), [host("cmp-2", vcpus_used=6, memory_mb_used=7168, disk_gb_used=90)]).chosen == ("cmp-2",)


def test_place_accepts_an_overcommitted_disk_when_none_is_needed():
    needs = request(flavor=Flavor(vcpus=1, memory_mb=1, disk_gb=0))
    assert place(needs, [host("cmp-2", disk_gb_used=200)]).chosen == ("cmp-2",)


def test_place_reports_the_state_of_a_host_before_its_room_when_both_are_against_it():
    assert place(request(), [host("cmp-2", up=False, vcpus_used=8)]).rejected[0].reason == "down"


def test_anti_affinity_rejects_hosts_where_a_member_is_or_is_going():
    needs = request(
        policy=GroupPolicy.ANTI_AFFINITY, members=(member("db-2", "cmp-2"), member("db-3", "cmp-1", "cmp-3"))
    )
    placement = place(needs, [host("cmp-2"), host("cmp-3"), host("cmp-4")])
    assert placement.chosen == ("cmp-4",)
    assert explain(placement.rejected) == "cmp-2: anti-affinity with db-2; cmp-3: anti-affinity with db-3"


def test_affinity_allows_any_host_when_every_member_is_on_the_source():
    needs = request(policy=GroupPolicy.AFFINITY, members=(member("db-2", "cmp-1"),))
    assert set(place(needs, [host("cmp-2"), host("cmp-3")]).chosen) == {"cmp-2", "cmp-3"}


def test_affinity_follows_the_member_that_is_on_its_way_from_the_source():
    needs = request(policy=GroupPolicy.AFFINITY, members=(member("db-2", "cmp-1", "cmp-3"), member("db-3", "cmp-1")))
    placement = place(needs, [host("cmp-2"), host("cmp-3")])
    assert placement.chosen == ("cmp-3",)
    assert explain(placement.rejected) == "cmp-2: affinity: its group is on cmp-3"


def test_affinity_names_the_host_of_the_group_when_that_is_full():
    needs = request(policy=GroupPolicy.AFFINITY, members=(member("db-2", "cmp-2"),))
    placement = place(needs, [host("cmp-2", vcpus_used=8), host("cmp-3")])
    assert placement.chosen == ()
    assert explain(placement.rejected) == "cmp-2: needs 2 vcpus, 0 free; cmp-3: affinity: its group is on cmp-2"


@pytest.mark.parametrize("policy", [None, GroupPolicy.SOFT_AFFINITY, GroupPolicy.SOFT_ANTI_AFFINITY])
def test_place_rejects_nobody_for_its_group_when_the_policy_is_soft(policy: GroupPolicy | None):
    needs = request(policy=policy, members=(member("db-2", "cmp-2"),))
    assert set(place(needs, [host("cmp-2"), host("cmp-3")]).chosen) == {"cmp-2", "cmp-3"}


@pytest.mark.parametrize(
    ("policy", "best_first"),
    [
        (GroupPolicy.SOFT_AFFINITY, ("cmp-4", "cmp-3", "cmp-2")),
        (GroupPolicy.SOFT_ANTI_AFFINITY, ("cmp-2", "cmp-3", "cmp-4")),
    ],
)
def test_soft_policy_outweighs_everything_else(policy: GroupPolicy, best_first: tuple[str, ...]):
    """The best one by the policy is the worst one otherwise."""
    members = (member("a", "cmp-4"), member("b", "cmp-4"), member("c", "cmp-3"))
    worse = ({}, {"memory_mb_used": 4096}, {"in_flight": 3})
    hosts = [host(name, **differs) for name, differs in zip(reversed(best_first), worse, strict=True)]
    assert place(request(policy=policy, members=members), hosts).chosen == best_first
    assert place(request(members=members), hosts).chosen == tuple(reversed(best_first))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"in_flight": 1, "memory_mb_used": 4096}, {"in_flight": 2}),
        ({"in_flight": 2, "most_in_flight": 3}, {"in_flight": 1, "most_in_flight": 1}),
        ({"vcpus_used": 4}, {"memory_mb_used": 1}),
        ({"vcpus_used": 1}, {"vcpus_used": 2}),
        ({"memory_mb": 4096}, {"memory_mb": 8192, "memory_mb_used": 4097}),
    ],
    ids=["fewer in flight", "room under its cap", "more free memory", "more free vcpus", "free, not total, memory"],
)
def test_place_prefers(better: dict[str, object], worse: dict[str, object]):
    assert place(request(), [host("a", **worse), host("b", **better)]).chosen == ("b", "a")


def test_place_orders_equal_hosts_by_name():
    assert place(request(), [host("c"), host("a"), host("b")]).chosen == ("a", "b", "c")


def test_explain_says_so_when_there_is_no_host():
    assert explain(place(request(), []).rejected) == "there is no host"


NAMES = [f"cmp-{number}" for number in range(1, 7)]
SMALL = st.integers(0, 4)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from(NAMES),
        enabled=st.booleans(),
        up=st.booleans(),
        vcpus=SMALL,
        vcpus_used=SMALL,
        memory_mb=SMALL,
        memory_mb_used=SMALL,
        disk_gb=SMALL,
        disk_gb_used=SMALL,
        availability_zone=st.sampled_from(["az1", "az2"]),
        traits=st.frozensets(st.sampled_from(["GPU", "SSD"])),
        in_flight=SMALL,
    ),
    unique_by=lambda candidate: candidate.name,
)
MEMBERS = st.lists(
    st.builds(GroupMember, name=st.sampled_from("abc"), hosts=st.frozensets(st.sampled_from(NAMES), max_size=2)),
    max_size=3,
).map(tuple)
REQUESTS = st.builds(
    PlacementRequest,
    flavor=st.builds(Flavor, vcpus=st.integers(0, 2), memory_mb=st.integers(0, 2), disk_gb=st.integers(0, 2)),
    source=st.sampled_from(NAMES),
    target=st.none() | st.sampled_from(NAMES),
    availability_zone=st.none() | st.sampled_from(["az1", "az2"]),
    required_traits=st.frozensets(st.sampled_from(["GPU", "SSD"]), max_size=1),
    policy=st.none() | st.sampled_from(GroupPolicy),
    members=MEMBERS,
    excluded=st.dictionaries(st.sampled_from(NAMES), st.just("failed before"), max_size=2),
)

FITS: dict[str, Callable[[PlacementRequest, Candidate], bool]] = {
    "is another host": lambda r, c: c.name != r.source and c.name not in r.excluded,
    "is the target": lambda r, c: r.target in (None, c.name),
    "is in service": lambda r, c: c.up and c.enabled,
    "is in the zone": lambda r, c: r.availability_zone in (None, c.availability_zone),
    "has the traits": lambda r, c: r.required_traits <= c.traits,
    "has vcpus": lambda r, c: r.flavor.vcpus == 0 or c.vcpus_used + r.flavor.vcpus <= c.vcpus,
    "has memory": lambda r, c: r.flavor.memory_mb == 0 or c.memory_mb_used + r.flavor.memory_mb <= c.memory_mb,
    "has disk": lambda r, c: r.flavor.disk_gb == 0 or c.disk_gb_used + r.flavor.disk_gb <= c.disk_gb,
    "has no member": lambda r, c: (
        r.policy is not GroupPolicy.ANTI_AFFINITY or all(c.name not in each.hosts for each in r.members)
    ),
    "is with the group": lambda r, c: (
        r.policy is not GroupPolicy.AFFINITY
        or any(c.name in each.hosts for each in r.members)
        or all(each.hosts <= {r.source} for each in r.members)
    ),
}
"""The rules once more, said in another way than the code says them."""


@given(REQUESTS, CANDIDATES)
def test_place_chooses_exactly_the_hosts_that_fit(needs: PlacementRequest, hosts: list[Candidate]):
    fitting = {each.name for each in hosts if all(rule(needs, each) for rule in FITS.values())}
    assert set(place(needs, hosts).chosen) == fitting


@given(REQUESTS, CANDIDATES)
def test_place_names_every_host_once_and_every_rejection_has_a_reason(needs: PlacementRequest, hosts: list[Candidate]):
    placement = place(needs, hosts)
    named = [*placement.chosen, *(each.host for each in placement.rejected)]
    assert sorted(named) == sorted(each.name for each in hosts)
    assert all(each.reason and "\n" not in each.reason for each in placement.rejected)


@given(REQUESTS, CANDIDATES, st.randoms())
def test_place_answers_the_same_in_whatever_order_the_hosts_come(
    needs: PlacementRequest, hosts: list[Candidate], random
):
    shuffled = list(hosts)
    random.shuffle(shuffled)
    assert place(needs, shuffled) == place(needs, hosts)
