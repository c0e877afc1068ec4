"""The way forward: the order of the steps, the next candidate, and what is never done twice."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from evacuation.errors import DestinationUnableError, SpawnFailedError
from evacuation.messages import GuestState, Settled
from evacuation.model import PowerState, VmState
from tests.workflows.fakes import INSTANCE, FakeCloud, Silence

STEPS = [
    "claim_capacity",
    "prepare_destination@{}",
    "record_preparation",
    "set_up_network",
    "fetch_block_devices",
    "detach_volumes",
    "set_up_block_devices",
    "connect_volumes@{}",
    "authorize_spawn",
    "spawn_guest@{}",
]


def steps(host: str) -> list[str]:
    return [step.format(host) for step in STEPS]


async def test_evacuation_goes_through_every_step_in_order(run):
    cloud = FakeCloud()
    outcome = await (await run(cloud)).outcome()
    assert (outcome.outcome, outcome.source, outcome.destination) == ("recovered", "cmp-1", "cmp-2")
    assert [(a.host, a.result) for a in outcome.attempts] == [("cmp-2", "recovered")]
    assert cloud.asked == [
        "check_request",
        "fence_source",
        "begin_evacuation",
        *steps("cmp-2"),
        "finish_evacuation",
    ]


async def test_events_reach_the_store_once_each_and_in_order(run):
    cloud = FakeCloud()
    await (await run(cloud)).outcome()
    told = [
        e.name
        for name in ("record_preparation", "authorize_spawn", "finish_evacuation")
        for e in cloud.messages[name][0].events
    ]
    assert told == [a.split("@")[0] for a in cloud.asked]


async def test_what_a_host_did_besides_is_in_the_event_of_the_start(run):
    cloud = FakeCloud()
    dropped = GuestState(instance_id=INSTANCE, epoch=1, power_state=PowerState.RUNNING, note="dropped what was saved")
    cloud.answers("spawn_guest", dropped)
    await (await run(cloud)).outcome()
    events = {event.name: event for event in cloud.messages["finish_evacuation"][0].events}
    assert (events["spawn_guest"].result, events["spawn_guest"].details) == ("success", "dropped what was saved")


async def test_stopped_instance_is_defined_and_never_booted(run):
    cloud = FakeCloud()
    cloud.wanted = VmState.STOPPED
    await (await run(cloud)).outcome()
    assert cloud.messages["spawn_guest"][0].guest.power_state == "shutdown"
    assert cloud.messages["finish_evacuation"][0].vm_state == "stopped"


async def test_refusing_destination_is_followed_by_the_next_one(run):
    cloud = FakeCloud()
    cloud.answers("prepare_destination", DestinationUnableError("the disk is not visible"))
    outcome = await (await run(cloud)).outcome()
    assert [(a.host, a.result) for a in outcome.attempts] == [("cmp-2", "refused"), ("cmp-3", "recovered")]
    assert cloud.asked[3:] == [
        *steps("cmp-2")[:2],
        "tear_down_block_devices",
        "tear_down_network",
        "release_capacity",
        *steps("cmp-3"),
        "finish_evacuation",
    ]
    assert cloud.messages["claim_capacity"][1].excluded == {"cmp-2": "the disk is not visible"}


async def test_failed_spawn_is_settled_unwound_in_reverse_and_tried_again_on_the_same_host(run):
    cloud = FakeCloud()
    cloud.answers("spawn_guest", SpawnFailedError("no memory"))
    outcome = await (await run(cloud)).outcome()
    assert [(a.host, a.result) for a in outcome.attempts] == [("cmp-2", "failed"), ("cmp-2", "recovered")]
    assert cloud.asked[3:] == [
        *steps("cmp-2"),
        "call_off_attempt",
        "settle_guest@cmp-2",
        "record_guest_gone",
        "disconnect_volumes@cmp-2",
        "tear_down_block_devices",
        "tear_down_network",
        "release_capacity",
        *steps("cmp-2"),
        "finish_evacuation",
    ]
    epochs = [spawn.guest.epoch for spawn in cloud.messages["spawn_guest"]]
    assert epochs == sorted(set(epochs)), "each attempt has a new epoch"


async def test_host_is_given_up_after_two_attempts(run):
    cloud = FakeCloud()
    cloud.answers("spawn_guest", SpawnFailedError("no memory"), SpawnFailedError("no memory"))
    outcome = await (await run(cloud)).outcome()
    assert [a.host for a in outcome.attempts] == ["cmp-2", "cmp-2", "cmp-3"]


async def test_silent_destination_is_followed_by_the_next_one(run):
    cloud = FakeCloud()
    outcome = await (await run(cloud, silent=frozenset({"cmp-2"}))).faster().outcome()
    assert [(a.host, a.result) for a in outcome.attempts] == [("cmp-2", "unknown"), ("cmp-3", "recovered")]


async def test_spawn_without_an_answer_goes_forward_when_the_guest_runs(run):
    cloud = FakeCloud()
    cloud.answers("spawn_guest", Silence())
    cloud.answers("settle_guest", Settled(forward=True, incarnation="boot-1"))
    outcome = await (await run(cloud)).faster().outcome()
    assert (outcome.outcome, outcome.destination) == ("recovered", "cmp-2")
    assert cloud.asked[-3:] == ["call_off_attempt", "settle_guest@cmp-2", "finish_evacuation"]


async def test_finish_is_repeated_until_it_holds_even_when_it_is_refused(run):
    cloud = FakeCloud()
    cloud.answers("finish_evacuation", *[ApplicationError("no", type="Injected", non_retryable=True)] * 3)
    outcome = await (await run(cloud)).outcome()
    assert outcome.outcome == "recovered"
    assert cloud.asked.count("finish_evacuation") == 4


async def test_capacity_is_waited_for_until_it_comes(run):
    from evacuation.errors import CapacityNotYetError

    cloud = FakeCloud()
    cloud.answers("claim_capacity", *[CapacityNotYetError("full")] * 12)
    outcome = await (await run(cloud)).outcome(wait_for_capacity=timedelta(minutes=30))
    assert outcome.outcome == "recovered"
    assert cloud.asked.count("claim_capacity") == 13
    assert all(message.wait for message in cloud.messages["claim_capacity"])


async def test_request_is_answered_by_the_decision_of_the_checks(run):
    accepted = await (await run(FakeCloud())).ask()
    assert (accepted.instance, accepted.source, accepted.also_stopped) == ("web-01", "cmp-1", ("web-02",))


async def test_request_is_refused_when_the_source_answers(run):
    cloud = FakeCloud()
    cloud.source_answers = True
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await (await run(cloud)).ask()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "SourceAnswersError"
    assert cloud.asked == ["check_request", "record_answer"], "nothing else was written, or powered off"


async def test_request_is_refused_when_nothing_can_fence_the_source(run):
    cloud = FakeCloud()
    cloud.can_fence = False
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await (await run(cloud)).ask()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "SourceNotFencedError"
