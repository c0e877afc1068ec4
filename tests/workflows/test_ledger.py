"""What an evacuation writes down of the ledger outside of it, and whom it believes."""

from temporalio.worker import Worker

from evacuation import messages as m
from evacuation.errors import StoreBehindError
from evacuation.ledger import LedgerMark, StartMark, Witness
from evacuation.names import CONTROL_QUEUE, probe_queue
from services.runtime.last_start import last_start
from tests.workflows.conftest import OPTIONS
from tests.workflows.fakes import INSTANCE, FakeCloud, FakeProbe
from workflows.ask_hosts import AskHosts

NOW = LedgerMark(ledger="ledger-a", position=57)


def authorizing() -> FakeCloud:
    cloud = FakeCloud()
    cloud.answers("authorize_spawn", m.Authorized(epoch=2, evidence=(), ledger=NOW))
    return cloud


async def test_epoch_and_position_are_in_the_memo_before_the_guest_is_spawned(run):
    cloud = authorizing()
    served = await run(cloud)
    await served.outcome()
    history = await served.handle.fetch_history()
    wrote = [e.event_id for e in history.events if e.HasField("workflow_properties_modified_event_attributes")]
    spawn = [
        e.event_id
        for e in history.events
        if e.HasField("activity_task_scheduled_event_attributes")
        and e.activity_task_scheduled_event_attributes.activity_type.name == "spawn_guest"
    ]
    assert len(wrote) == len(spawn) == 1
    assert wrote < spawn
    timeout = served.tuning.hold
    assert await last_start(served.client, INSTANCE, timeout=timeout) == StartMark(
        **dict(NOW), epoch=2, host="cmp-2", incarnation="boot-1"
    )


async def test_host_is_told_the_position_that_its_guest_was_authorised_at(run):
    cloud = authorizing()
    await (await run(cloud)).outcome()
    assert cloud.messages["spawn_guest"][0].call.ledger == NOW


async def test_authorisation_hears_what_the_destination_has_seen(run):
    cloud = FakeCloud()
    seen = LedgerMark(ledger="ledger-a", position=99)
    connector = m.Connector(host="cmp-2", incarnation="boot-1")
    cloud.answers("prepare_destination", m.Prepared(connector=connector, ledger=seen))
    await (await run(cloud)).outcome()
    assert cloud.messages["authorize_spawn"][0].witnessed == (Witness(who="cmp-2", mark=seen),)


async def test_evacuation_is_undone_and_says_why_when_the_ledger_is_behind(run):
    cloud = FakeCloud()
    cloud.answers("authorize_spawn", StoreBehindError("the store is older", remedy="run: evacuate store reconcile"))
    error = await (await run(cloud)).failure()
    assert error.type == "StoreBehindError"
    assert "evacuate store reconcile" in str(error.details)
    assert not any(asked.startswith("spawn_guest") for asked in cloud.asked)
    assert cloud.asked.count("release_capacity") == cloud.asked.count("claim_capacity") == 1
    assert cloud.asked[-1] == "abandon_evacuation"


async def test_every_host_is_asked_and_who_is_silent_is_named(env):
    seen = FakeCloud()
    requests = tuple(m.ProbeRequest(host=host, hypervisor_uuid=None, ledger=NOW) for host in ("cmp-1", "cmp-2"))
    worker = Worker(env.client, task_queue=CONTROL_QUEUE, workflows=[AskHosts], **OPTIONS)
    probe = Worker(env.client, task_queue=probe_queue("cmp-1"), activities=[FakeProbe(seen).probe_host])
    async with worker, probe:
        asked = m.AskHostsInput(hosts=requests, tuning=m.Tuning(scale=0.2))
        found = await env.client.execute_workflow(AskHosts.run, asked, id="ask", task_queue=CONTROL_QUEUE)
    assert [(each.host, bool(each.why_not)) for each in found.answers] == [("cmp-1", False), ("cmp-2", True)]
