"""What is refused before anything is written or powered off, and what is not."""

from datetime import UTC, datetime, timedelta

import pytest

from evacuation import errors as e
from evacuation.messages import CheckedRequest, EvacuationRequest, InstanceSnapshot, OpenEvacuation
from evacuation.model import (
    Candidate,
    Evidence,
    EvidenceKind,
    Flavor,
    PlacementRequest,
    RootDisk,
    TaskState,
    VmState,
)
from evacuation.ports import CheckFacts
from evacuation.request import check, refuse_answering_source, refuse_unfenced
from evacuation.sightings import Sighting

FLAVOR = Flavor(vcpus=1, memory_mb=512, disk_gb=5)
LEFT_OPEN = OpenEvacuation(evacuation_id="evacuation-1", owner="run-1")
PROOF = Evidence(
    kind=EvidenceKind.POWER_OFF,
    host="cmp-1",
    incarnation="boot-1",
    who="redfish",
    reason="power state off",
    at=datetime(2026, 1, 1, tzinfo=UTC),
)


def request(**differs: object) -> EvacuationRequest:
    return EvacuationRequest.model_validate({"request_id": "request-1", "instance_id": "instance-1", **differs})


def instance(**differs: object) -> InstanceSnapshot:
    usual = {
        "id": "instance-1",
        "name": "web-01",
        "project": "acme",
        "priority": 3,
        "source": "cmp-1",
        "vm_state": VmState.ACTIVE,
        "task_state": None,
        "root_disk": RootDisk.SHARED,
        "flavor": FLAVOR,
        "wanted": VmState.ACTIVE,
    }
    return InstanceSnapshot.model_validate({**usual, **differs})


def host(name: str, **differs: object) -> Candidate:
    room = {"vcpus": 8, "vcpus_used": 0, "memory_mb": 8192, "memory_mb_used": 0, "disk_gb": 100, "disk_gb_used": 0}
    usual = {"enabled": True, "up": True, "availability_zone": "az1", **room}
    return Candidate.model_validate({"name": name, **usual, **differs})


HOSTS = (host("cmp-1", up=False), host("cmp-2"), host("cmp-3", enabled=False), host("cmp-4", up=False))


def facts(of: InstanceSnapshot | None = None, *, hosts: tuple[Candidate, ...] = HOSTS, **differs: object) -> CheckFacts:
    usual = {
        "instance": of or instance(),
        "instance_deleted": False,
        "source_incarnation": "boot-1",
        "source_uuid": "uuid-1",
        "evidence": None,
        "open": None,
        "others_on_source": ("web-02",),
        "placement": PlacementRequest(flavor=FLAVOR, source="cmp-1"),
        "hosts": hosts,
        "known_hosts": frozenset(each.name for each in hosts),
    }
    return CheckFacts.model_validate({**usual, **differs})


def accept(asked: EvacuationRequest, known: CheckFacts, *, can_fence: bool = True) -> CheckedRequest:
    return check(asked, known, can_fence=can_fence)


def refused(asked: EvacuationRequest, known: CheckFacts) -> e.Refusal:
    with pytest.raises(e.Refusal) as caught:
        check(asked, known, can_fence=True)
    return caught.value


def test_check_accepts_with_all_that_the_evacuation_needs_to_know():
    accepted = accept(request(), facts(evidence=PROOF))
    assert (accepted.instance, accepted.evidence, accepted.can_fence) == (instance(), PROOF, True)
    assert (accepted.source_incarnation, accepted.source_uuid) == ("boot-1", "uuid-1")
    assert (accepted.also_stopped, accepted.no_host, accepted.adopts) == (("web-02",), (), None)


MALFORMED = [
    {"target": "cmp 2"},
    {"target": "../cmp-2"},
    {"target": ""},
    {"target": "h" * 64},
    {"wait_for_capacity": timedelta(0)},
    {"wait_for_capacity": timedelta(seconds=-1)},
    {"wait_for_capacity": timedelta(days=31)},
    {"source_confirmed_off": "  "},
    {"source_confirmed_off": "x" * 501},
    {"source_confirmed_off": "a\0b"},
]
REFUSED: list[tuple[type[e.Refusal], dict[str, object], CheckFacts]] = [
    *((e.MalformedRequestError, asked, facts()) for asked in MALFORMED),
    (e.HostNotFoundError, {"target": "cmp-9"}, facts()),
    (e.TargetIsSourceError, {"target": "cmp-1"}, facts()),
    (e.TargetDisabledError, {"target": "cmp-3"}, facts()),
    (e.TargetDisabledError, {"target": "cmp-4"}, facts()),
    (e.InstanceNotFoundError, {}, facts(instance_deleted=True)),
    (e.RootDiskNotSharedError, {}, facts(instance(root_disk=RootDisk.LOCAL))),
    (
        e.ContradictoryOptionsError,
        {"target_state": "active"},
        facts(instance(vm_state=VmState.STOPPED, wanted=VmState.STOPPED)),
    ),
    (
        e.ContradictoryOptionsError,
        {"target_state": "active"},
        facts(open=LEFT_OPEN.model_copy(update={"wanted": VmState.STOPPED})),
    ),
    *(
        (e.VmStateNotEvacuableError, {}, facts(instance(vm_state=state)))
        for state in sorted(set(VmState) - {VmState.ACTIVE, VmState.STOPPED, VmState.ERROR})
    ),
]


@pytest.mark.parametrize(("error", "asked", "known"), REFUSED)
def test_check_refuses_with_cause_and_remedy_in_one_line(
    error: type[e.Refusal], asked: dict[str, object], known: CheckFacts
):
    refusal = refused(request(**asked), known)
    assert type(refusal) is error
    assert refusal.message and refusal.remedy
    assert "\n" not in refusal.line


@pytest.mark.parametrize(
    ("asked", "known", "cause"),
    [
        ({"target": "cmp-9"}, facts(), "cmp-9"),
        ({"target": "cmp-3"}, facts(), "cmp-3 is disabled"),
        ({"target": "cmp-4"}, facts(), "cmp-4 is down"),
        ({}, facts(instance(vm_state=VmState.PAUSED)), "web-01 is paused"),
        ({}, facts(instance(root_disk=RootDisk.LOCAL)), "local to cmp-1"),
    ],
)
def test_refusal_names_the_cause(asked: dict[str, object], known: CheckFacts, cause: str):
    assert cause in refused(request(**asked), known).message


def test_refusal_of_an_unknown_target_names_the_known_hosts():
    assert refused(request(target="cmp-9"), facts()).remedy == "known hosts: cmp-1, cmp-2, cmp-3, cmp-4"


@pytest.mark.parametrize("state", [VmState.ACTIVE, VmState.STOPPED, VmState.ERROR])
def test_check_accepts_every_evacuable_state(state: VmState):
    assert accept(request(), facts(instance(vm_state=state))).instance.vm_state is state


@pytest.mark.parametrize("task", TaskState)
def test_check_accepts_a_stuck_task_state(task: TaskState):
    assert accept(request(), facts(instance(task_state=task))).instance.task_state is task


def test_check_accepts_a_root_disk_on_a_volume():
    accept(request(), facts(instance(root_disk=RootDisk.VOLUME)))


@pytest.mark.parametrize(
    ("vm_state", "wanted", "asked", "end"),
    [
        (VmState.ACTIVE, VmState.ACTIVE, None, VmState.ACTIVE),
        (VmState.ACTIVE, VmState.ACTIVE, "stopped", VmState.STOPPED),
        (VmState.STOPPED, VmState.STOPPED, None, VmState.STOPPED),
        (VmState.STOPPED, VmState.STOPPED, "stopped", VmState.STOPPED),
        (VmState.ERROR, VmState.ACTIVE, "stopped", VmState.STOPPED),
        (VmState.ERROR, VmState.STOPPED, "active", VmState.ACTIVE),
        (VmState.ERROR, VmState.STOPPED, None, VmState.STOPPED),
    ],
)
def test_check_wants_the_state_that_was_asked_for_or_the_instances_own(
    vm_state: VmState, wanted: VmState, asked: str | None, end: VmState
):
    known = facts(instance(vm_state=vm_state, wanted=wanted))
    assert accept(request(target_state=asked), known).instance.wanted is end


@pytest.mark.parametrize(
    "of", [instance(vm_state=VmState.BUILDING), instance(task_state=TaskState.REBUILD_SPAWNING)], ids=["vm", "task"]
)
def test_check_holds_nothing_against_a_request_that_the_open_evacuation_changed_itself(of: InstanceSnapshot):
    assert accept(request(), facts(of, open=LEFT_OPEN)).adopts == LEFT_OPEN


def test_check_adopts_the_evacuation_of_an_instance_that_was_deleted_meanwhile():
    accepted = accept(request(), facts(open=LEFT_OPEN, instance_deleted=True))
    assert (accepted.adopts, accepted.deleted) == (LEFT_OPEN, True)


def test_check_adopts_when_the_target_is_down_by_now():
    down = facts(open=LEFT_OPEN, hosts=(host("cmp-2", up=False),))
    assert accept(request(target="cmp-2"), down).adopts == LEFT_OPEN


def test_check_still_refuses_a_bad_target_when_it_adopts():
    assert isinstance(refused(request(target="cmp-9"), facts(open=LEFT_OPEN)), e.HostNotFoundError)


def test_dry_run_names_every_host_when_none_fits():
    full = (host("cmp-1", up=False), host("cmp-2", vcpus_used=8), host("cmp-3", enabled=False))
    assert {(each.host, each.reason) for each in accept(request(), facts(hosts=full)).no_host} == {
        ("cmp-1", "it is the source"),
        ("cmp-2", "needs 1 vcpus, 0 free"),
        ("cmp-3", "disabled"),
    }


def test_dry_run_honours_the_target_when_another_host_would_fit():
    hosts = (host("cmp-2", vcpus_used=8), host("cmp-5"))
    rejected = accept(request(target="cmp-2"), facts(hosts=hosts)).no_host
    assert [each.reason for each in rejected] == ["needs 1 vcpus, 0 free", "the named target is cmp-2"]


def test_answering_source_is_refused_with_its_name():
    refusal = refuse_answering_source(accept(request(), facts()))
    assert isinstance(refusal, e.SourceAnswersError)
    assert "cmp-1" in refusal.message and refusal.remedy


def test_unfenced_source_is_refused_when_nothing_proves_it_off_and_nothing_could():
    refusal = refuse_unfenced(request(), accept(request(), facts(), can_fence=False))
    assert isinstance(refusal, e.SourceNotFencedError)
    assert "evacuate host down cmp-1 --confirmed-off" in refusal.remedy
    assert "--source-confirmed-off" in refusal.remedy


@pytest.mark.parametrize(
    ("asked", "known", "can_fence"),
    [
        ({}, facts(evidence=PROOF), False),
        ({}, facts(), True),
        ({"source_confirmed_off": "Jo pulled the plug"}, facts(), False),
    ],
    ids=["evidence", "driver", "word"],
)
def test_unfenced_source_is_not_refused_when_there_is(asked: dict[str, object], known: CheckFacts, can_fence: bool):
    assert refuse_unfenced(request(**asked), accept(request(**asked), known, can_fence=can_fence)) is None


def test_misplaced_instance_is_refused_but_what_a_closed_run_has_left_open_of_it_can_be_ended() -> None:
    seen = (Sighting(host="cmp-3", incarnation="boot-3", epoch=1, state="running"),)
    assert isinstance(refused(request(), facts(seen=seen)), e.InstanceMisplacedError)
    assert accept(request(), facts(seen=seen, open=LEFT_OPEN)).adopts == LEFT_OPEN
