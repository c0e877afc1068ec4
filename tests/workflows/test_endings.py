"""How an evacuation ends, row by row (docs/design.md#how-an-evacuation-ends): what is told to the store, and how the
workflow ends."""

from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError

from evacuation import messages as m
from evacuation.errors import (
    CapacityNotYetError,
    DestinationUnableError,
    DiskLockedError,
    EvidenceVoidedError,
    FenceDeclinedError,
    FenceFailedError,
    InstanceChangedError,
    InstanceDeletedError,
    InstanceNotFoundError,
    NoValidHostError,
    OwnerChangedError,
    SourceReturnedError,
    SpawnFailedError,
)
from evacuation.model import Evidence, EvidenceKind, Rejection
from tests.workflows.conftest import ends_cancelled
from tests.workflows.fakes import NOW, Deaf, FakeCloud, Hang, Silence
from workflows.evacuate_instance import EvacuateInstance

UNDO = ["tear_down_block_devices", "tear_down_network", "release_capacity"]


async def test_refused_request_writes_nothing(run):
    cloud = FakeCloud()
    cloud.answers("check_request", InstanceNotFoundError("no such instance"))
    failure = await (await run(cloud)).failure()
    assert failure.type == "InstanceNotFoundError"
    assert cloud.asked == ["check_request"]


async def test_failed_fence_leaves_the_instance_as_before(run):
    cloud = FakeCloud()
    cloud.answers("fence_source", *[FenceFailedError("the BMC does not answer")] * 200)
    failure = await (await run(cloud)).failure()
    assert failure.type == "FenceFailedError"
    assert "begin_evacuation" not in cloud.asked


async def test_lost_compare_and_swap_leaves_the_instance_as_before(run):
    cloud = FakeCloud()
    cloud.answers("begin_evacuation", InstanceChangedError("task_state is reboot now"))
    failure = await (await run(cloud)).failure()
    assert failure.type == "InstanceChangedError"
    assert "claim_capacity" not in cloud.asked


async def test_returned_source_ends_as_before_with_everything_undone(run):
    cloud = FakeCloud()
    cloud.answers("authorize_spawn", SourceReturnedError("cmp-1 came back with the same boot"))
    failure = await (await run(cloud)).failure()
    assert failure.type == "SourceReturnedError"
    assert cloud.asked[-6:] == ["call_off_attempt", "disconnect_volumes@cmp-2", *UNDO, "abandon_evacuation"]
    [ending] = cloud.messages["abandon_evacuation"]
    assert (ending.vm_state, ending.fault, ending.migration_status) == (None, None, "failed")


async def test_no_host_at_the_first_claim_ends_in_error_with_each_host_named(run):
    cloud = FakeCloud()
    rejected = (Rejection(host="cmp-2", reason="needs 4 vcpus, 1 free"),)
    cloud.no_host = rejected
    cloud.answers("claim_capacity", NoValidHostError("no host fits: cmp-2: needs 4 vcpus, 1 free", hosts=rejected))
    failure = await (await run(cloud)).failure()
    assert failure.type == "NoValidHostError"
    assert cloud.asked == ["check_request", "begin_evacuation", "claim_capacity", *UNDO, "abandon_evacuation"]
    [ending] = cloud.messages["abandon_evacuation"]
    assert (ending.vm_state, ending.migration_status) == ("error", "error")
    assert "cmp-2: needs 4 vcpus" in ending.fault.message
    assert ending.outcome.outcome == "not_recovered"


async def test_capacity_that_never_comes_ends_as_no_host(run):
    cloud = FakeCloud()
    cloud.answers("claim_capacity", *[CapacityNotYetError("no host fits: every host is full")] * 500)
    failure = await (await run(cloud)).failure(wait_for_capacity=timedelta(minutes=1))
    assert failure.type == "NoValidHostError"
    [ending] = cloud.messages["abandon_evacuation"]
    assert (ending.vm_state, ending.migration_status) == ("error", "error")


def full_until(cloud: FakeCloud, end: object) -> list[object]:
    """Every host is full, for as long as it is waited for; then `end`."""

    def answer() -> object:
        if cloud.messages["claim_capacity"][-1].wait:
            raise CapacityNotYetError("no host fits: every host is full")
        if isinstance(end, Exception):
            raise end
        return end

    return [answer] * 500


async def test_capacity_is_asked_for_once_more_when_the_time_to_wait_is_over(run):
    """The waits between the tries grow to 15 s: the one before the deadline would outlast it."""
    cloud = FakeCloud()
    cloud.answers("claim_capacity", *full_until(cloud, NoValidHostError("no host fits")))
    one = (await run(cloud)).at_full_scale()
    assert (await one.failure(wait_for_capacity=timedelta(minutes=1))).type == "NoValidHostError"
    events = (await one.handle.fetch_history()).events
    asked = [
        event.event_time.ToDatetime()
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "claim_capacity"
    ]
    assert asked[-1] - events[0].event_time.ToDatetime() >= timedelta(minutes=1)
    assert [message.wait for message in cloud.messages["claim_capacity"]][-2:] == [True, False]


async def test_capacity_that_comes_at_the_deadline_is_taken(run):
    cloud = FakeCloud()
    to = m.Destination(host="cmp-2", hypervisor_uuid=None, incarnation="boot-1", epoch=2)
    cloud.answers("claim_capacity", *full_until(cloud, to))
    outcome = await (await run(cloud)).outcome(wait_for_capacity=timedelta(minutes=1))
    assert (outcome.outcome, outcome.destination) == ("recovered", "cmp-2")


async def test_every_attempt_refused_in_preparation_ends_as_before(run):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("prepare_destination", *[DestinationUnableError("no disk")] * 2)
    failure = await (await run(cloud)).failure()
    assert failure.type == "NoValidHostError"
    [ending] = cloud.messages["abandon_evacuation"]
    assert (ending.vm_state, ending.fault, ending.migration_status) == (None, None, "failed")
    assert "cmp-2: no disk" in ending.outcome.reason and "cmp-3: no disk" in ending.outcome.reason


async def test_later_failure_without_a_candidate_left_ends_in_error(run):
    cloud = FakeCloud("cmp-2")
    cloud.answers("spawn_guest", SpawnFailedError("no memory"), SpawnFailedError("no memory"))
    await (await run(cloud)).failure()
    [ending] = cloud.messages["abandon_evacuation"]
    assert (ending.vm_state, ending.migration_status) == ("error", "failed")
    assert "cmp-2: no memory" in ending.fault.message


async def test_five_attempts_are_all(run):
    cloud = FakeCloud(*[f"cmp-{n}" for n in range(2, 12)])
    cloud.answers("prepare_destination", *[DestinationUnableError("no disk")] * 9)
    await (await run(cloud)).failure()
    assert cloud.asked.count("claim_capacity") == 5


async def test_guest_is_spawned_from_its_stored_definition(run):
    cloud = FakeCloud()
    stored = m.StoredDefinition(definition="<domain/>", signal="agent")
    cloud.answers("fetch_block_devices", m.BlockDevices(devices=(), stored=stored))
    await (await run(cloud)).outcome()
    [spawned] = cloud.messages["spawn_guest"]
    assert (spawned.guest.definition, spawned.guest.signal) == ("<domain/>", "agent")


async def test_named_target_is_never_replaced(run):
    cloud = FakeCloud()
    cloud.answers("prepare_destination", DestinationUnableError("no disk"))
    await (await run(cloud)).failure(target="cmp-3")
    prepared = {a for a in cloud.asked if a.startswith("prepare_destination")}
    assert prepared == {"prepare_destination@cmp-3"}


async def test_locked_disk_is_not_tried_on_another_host(run):
    cloud = FakeCloud()
    cloud.answers("spawn_guest", DiskLockedError("another process writes to the disk"))
    failure = await (await run(cloud)).failure()
    assert failure.type == "DiskLockedError"
    assert cloud.asked.count("claim_capacity") == 1


@pytest.mark.parametrize(
    "step",
    [
        "fence_source",
        "claim_capacity",
        "prepare_destination",
        "record_preparation",
        "set_up_network",
        "fetch_block_devices",
        "detach_volumes",
        "set_up_block_devices",
        "connect_volumes",
        "authorize_spawn",
        "spawn_guest",
    ],
)
async def test_cancel_undoes_whatever_had_run(run, step):
    cloud = FakeCloud()
    cloud.answers(step, Hang())
    evacuation = (await run(cloud)).faster()
    handle = await evacuation.start()
    await evacuation.until(step)
    await handle.cancel()
    await ends_cancelled(handle)
    if step == "fence_source":
        assert "begin_evacuation" not in cloud.asked
        return
    [ending] = cloud.messages["abandon_evacuation"]
    assert (ending.vm_state, ending.migration_status, ending.outcome.outcome) == (None, "cancelled", "cancelled")
    assert cloud.asked[-2:] == ["release_capacity", "abandon_evacuation"]
    if step == "spawn_guest":
        assert cloud.asked.index("settle_guest@cmp-2") < cloud.asked.index("tear_down_network")


async def test_cancel_counts_when_the_fence_comes_to_its_end_all_the_same(run):
    cloud = FakeCloud()
    cloud.answers("fence_source", Deaf())
    evacuation = (await run(cloud)).faster()
    handle = await evacuation.start()
    await evacuation.until("fence_source")
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.asked[-1] == "fence_source"


async def test_cancel_while_undoing_loses_nothing_of_the_undoing(run):
    cloud = FakeCloud("cmp-2")
    cloud.answers("spawn_guest", SpawnFailedError("no memory"))
    cloud.answers("tear_down_block_devices", *[ApplicationError("not now", type="Injected")] * 5)
    evacuation = await run(cloud)
    handle = await evacuation.start()
    await evacuation.until("tear_down_block_devices")
    await handle.cancel()
    await ends_cancelled(handle)
    assert cloud.asked[-3:] == ["tear_down_network", "release_capacity", "abandon_evacuation"]


async def test_cancel_after_the_start_is_too_late(run):
    cloud = FakeCloud()
    cloud.answers("finish_evacuation", Silence())
    evacuation = (await run(cloud)).faster()
    handle = await evacuation.start()
    await evacuation.until("finish_evacuation")
    await handle.cancel()
    assert (await handle.result()).outcome == "recovered"


async def test_cancel_that_finds_the_guest_running_is_too_late(run):
    cloud = FakeCloud()
    cloud.answers("spawn_guest", Hang())
    cloud.answers("settle_guest", m.Settled(forward=True, incarnation="boot-1"))
    evacuation = (await run(cloud)).faster()
    handle = await evacuation.start()
    await evacuation.until("spawn_guest")
    await handle.cancel()
    assert (await handle.result()).outcome == "recovered"


async def test_deleted_instance_is_destroyed_first_then_everything_it_held(run):
    cloud = FakeCloud()
    cloud.answers("finish_evacuation", InstanceDeletedError("deleted"))
    outcome = await (await run(cloud)).outcome()
    assert (outcome.outcome, outcome.error_type) == ("not_recovered", "InstanceDeletedError")
    assert (
        cloud.asked[-8:]
        == [
            "finish_evacuation",
            "call_off_attempt",
            "destroy_guest@cmp-2",
            "record_guest_gone",
            "disconnect_volumes@cmp-2",
            *UNDO,
            "abandon_evacuation",
        ][-8:]
    )
    assert cloud.messages["abandon_evacuation"][0].deleted


async def test_deletion_ends_the_waiting_for_capacity(run):
    cloud = FakeCloud()
    cloud.answers("claim_capacity", CapacityNotYetError("full"), InstanceDeletedError("deleted"))
    outcome = await (await run(cloud)).outcome(wait_for_capacity=timedelta(minutes=30))
    assert outcome.error_type == "InstanceDeletedError"


async def test_unknown_destination_is_fenced_and_its_fence_is_the_proof(run):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", *[Silence()] * 3)
    outcome = await (await run(cloud)).faster().outcome()
    assert outcome.destination in {"cmp-2", "cmp-3"}
    proof = cloud.messages["record_guest_gone"][0].evidence
    assert (proof.kind, proof.host) == ("power-off", "cmp-2")
    assert cloud.messages["fence_destination"][0].spare_others
    assert not any(asked.startswith("disconnect_volumes") for asked in cloud.asked)


async def test_destination_is_asked_again_when_it_was_seen_alive_before_its_fence_became_the_proof(run):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", Silence())
    said = Evidence(
        kind=EvidenceKind.OPERATOR, host="cmp-2", incarnation="boot-1", who="ann", reason="pulled the plug", at=NOW
    )
    cloud.answers("find_evidence", said)
    cloud.answers("record_guest_gone", EvidenceVoidedError("cmp-2 was seen alive after its fence"))
    cloud.answers("settle_guest", m.Settled(forward=True, incarnation="boot-1"))
    evacuation = (await run(cloud)).faster()
    assert (await evacuation.outcome()).destination == "cmp-2"
    assert not any(a in cloud.asked for a in UNDO), "nothing is undone: its guest runs"


async def test_destination_that_cannot_be_fenced_blocks_in_the_open_until_it_answers(run):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", *[Silence()] * 6, m.Settled(forward=True, incarnation="boot-1"))
    cloud.answers("fence_destination", *[FenceDeclinedError("3 other guests live there")] * 50)
    evacuation = (await run(cloud)).faster()
    handle = await evacuation.start()
    await evacuation.until("spawn_guest")
    progress = await evacuation.until_phase("blocked")
    assert "cmp-2 does not answer" in progress.cause and "3 other guests" in progress.cause
    assert "evacuate host down cmp-2 --confirmed-off" in progress.remedy
    assert not any(a in cloud.asked for a in UNDO), "nothing is undone while the guest may run"
    assert (await handle.result()).outcome == "recovered"


async def test_blocked_evacuation_goes_on_at_an_operators_word(run):
    cloud = FakeCloud("cmp-2", "cmp-3")
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", *[Silence()] * 100)
    cloud.answers("fence_destination", *[FenceDeclinedError("3 other guests live there")] * 100)
    evacuation = (await run(cloud)).faster()
    handle = await evacuation.start()
    await evacuation.until("spawn_guest")
    await evacuation.until_phase("blocked")
    said = Evidence(
        kind=EvidenceKind.OPERATOR, host="cmp-2", incarnation="boot-1", who="ann", reason="pulled the plug", at=NOW
    )
    cloud.answers("find_evidence", said)
    await handle.signal(EvacuateInstance.look_again)
    assert (await handle.result()).outcome == "recovered"
    assert cloud.messages["record_guest_gone"][0].evidence.kind == "operator"


def left(phase: m.AttemptPhase) -> m.Begun:
    return m.Begun(
        evacuation_id="evacuation-0",
        attempt=2,
        phase=phase,
        started_at=NOW,
        wanted="active",
        migration_id="migration-1",
        destination=m.Destination(host="cmp-2", hypervisor_uuid=None, incarnation="boot-1", epoch=3),
    )


async def test_adopted_evacuation_whose_guest_runs_is_finished_forward(run):
    cloud = FakeCloud()
    cloud.adopts = m.OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
    cloud.left, cloud.authorized = left(m.AttemptPhase.AUTHORIZED), True
    cloud.answers("settle_guest", m.Settled(forward=True, incarnation="boot-1"))
    outcome = await (await run(cloud)).outcome()
    assert (outcome.outcome, outcome.evacuation_id) == ("recovered", "evacuation-0")
    assert cloud.asked[-3:] == ["call_off_attempt", "settle_guest@cmp-2", "finish_evacuation"]
    assert cloud.messages["finish_evacuation"][0].ref.attempt == 2


async def test_adopted_evacuation_is_unwound_before_the_next_attempt(run):
    cloud = FakeCloud()
    cloud.adopts = m.OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
    cloud.left = left(m.AttemptPhase.UNDOING)
    outcome = await (await run(cloud)).outcome()
    assert outcome.outcome == "recovered"
    assert cloud.asked[:7] == [
        "check_request",
        "begin_evacuation",
        "disconnect_volumes@cmp-2",
        *UNDO,
        "fence_source",
    ]
    assert [c.ref.attempt for c in cloud.messages["claim_capacity"]] == [3]


async def test_adopted_evacuation_is_refused_after_the_unwinding_when_the_source_answers(run):
    cloud = FakeCloud()
    cloud.source_answers = True
    cloud.adopts = m.OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
    cloud.left = left(m.AttemptPhase.UNDOING)
    failure = await (await run(cloud)).failure()
    assert failure.type == "SourceAnswersError"
    assert cloud.asked[-5:] == [*UNDO, "record_answer", "abandon_evacuation"]
    [ending] = cloud.messages["abandon_evacuation"]
    assert (ending.vm_state, ending.migration_status) == (None, "failed")


async def test_row_that_a_late_call_opened_is_adopted(run):
    cloud = FakeCloud()
    cloud.answers("begin_evacuation", OwnerChangedError("evacuation-9 is open"))
    outcome = await (await run(cloud)).outcome()
    assert outcome.outcome == "recovered"
    assert cloud.asked[:4] == ["check_request", "fence_source", "begin_evacuation", "check_request"]


@pytest.mark.parametrize("forward", [True, False])
async def test_what_was_opened_after_the_check_is_settled_before_the_next_attempt(run, forward):
    """As by a run that was reset to a point after its check, whose first life had gone on from there."""
    cloud = FakeCloud()

    def is_open_by_now() -> None:
        cloud.adopts = m.OpenEvacuation(evacuation_id="evacuation-0", owner="run-0")
        cloud.left, cloud.authorized = left(m.AttemptPhase.AUTHORIZED), True
        raise OwnerChangedError("evacuation-0 is open")

    cloud.answers("begin_evacuation", is_open_by_now)
    cloud.answers("settle_guest", m.Settled(forward=forward, incarnation="boot-1"))
    assert (await (await run(cloud)).outcome()).outcome == "recovered"
    after = cloud.asked[cloud.asked.index("begin_evacuation") + 1 :]
    assert after[:4] == ["check_request", "begin_evacuation", "call_off_attempt", "settle_guest@cmp-2"]
    assert [c.ref.attempt for c in cloud.messages["claim_capacity"]] == ([] if forward else [3])
