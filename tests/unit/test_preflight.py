"""Which instances of a host would come back, where, and why not the others."""

from evacuation.model import GroupPolicy
from evacuation.preflight import Preflight, Subject, preflight
from tests.unit.test_placement import host, member, request


def subject(name: str, priority: int = 3, obstacles: tuple[str, ...] = (), **differs: object) -> Subject:
    return Subject(
        instance_id=f"id-{name}", name=name, priority=priority, placement=request(**differs), obstacles=obstacles
    )


def told(*subjects: Subject, hosts: list[object]) -> dict[str, Preflight]:
    return {each.name: each for each in preflight(subjects, [host("cmp-1"), *hosts])}


def test_instance_can_be_evacuated_to_every_host_that_takes_it_best_first():
    found = told(subject("web"), hosts=[host("cmp-2", memory_mb_used=4096), host("cmp-3"), host("cmp-4", up=False)])
    assert (found["web"].can, found["web"].destinations, found["web"].reasons) == (True, ("cmp-3", "cmp-2"), ())


def test_every_host_is_named_with_its_reason_when_none_takes_it():
    found = told(subject("web"), hosts=[host("cmp-2", vcpus_used=8), host("cmp-3", enabled=False)])
    assert (found["web"].can, found["web"].destinations) == (False, ())
    assert found["web"].reasons == ("cmp-2: needs 2 vcpus, 0 free", "cmp-3: disabled")


def test_lone_host_has_nowhere_to_evacuate_to():
    assert told(subject("web"), hosts=[])["web"].reasons == ("there is no other host",)


def test_obstacles_of_the_instance_are_all_that_is_said():
    found = told(subject("web", obstacles=("its disk is local: share it",)), hosts=[host("cmp-2")])
    assert found["web"].reasons == ("its disk is local: share it",)


def test_room_is_given_to_the_first_priority_first():
    found = told(subject("late", priority=5), subject("first", priority=1), hosts=[host("cmp-2", vcpus_used=6)])
    assert list(found) == ["late", "first"]
    assert found["first"].can and not found["late"].can
    assert found["late"].reasons[0] == "no host is left for it once the instances before it are placed"


def test_obstructed_instance_takes_no_room():
    found = told(subject("stuck", priority=1, obstacles=("no",)), subject("web"), hosts=[host("cmp-2", vcpus_used=6)])
    assert found["web"].can


def test_members_that_were_placed_keep_others_of_their_group_away():
    apart = {"policy": GroupPolicy.ANTI_AFFINITY}
    one = subject("db-1", members=(member("db-2", "cmp-1"),), **apart)
    two = subject("db-2", members=(member("db-1", "cmp-1"),), **apart)
    found = told(one, two, hosts=[host("cmp-2"), host("cmp-3")])
    assert (found["db-1"].destinations, found["db-2"].destinations) == (("cmp-2", "cmp-3"), ("cmp-3",))
    found = told(one, two, hosts=[host("cmp-2")])
    assert found["db-1"].can and not found["db-2"].can
    assert "cmp-2: anti-affinity with db-1" in found["db-2"].reasons
