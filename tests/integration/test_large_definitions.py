"""The largest definition goes all the way on a real server: reported, and from the store to the destination."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from embedded.namespace import wait_until_ready
from evacuation import messages as m
from evacuation.capabilities import HostCapabilities
from evacuation.names import CONTROL_QUEUE
from evacuation.sizes import DEFINITION_LIMIT, MARK_ROOM
from services.runtime.settings import Settings
from services.runtime.temporal import connect
from tests.unit.test_report_news import NOW
from tests.workflows.conftest import OPTIONS, serve
from tests.workflows.fakes import FakeCloud
from tests.workflows.test_report_host import FakeStore
from workers.report import News, _is_told
from workflows.all import ALL

WORST = m.StoredDefinition(definition='"' * (DEFINITION_LIMIT + MARK_ROOM))
"""Every character of it takes two bytes in JSON."""


@pytest.fixture
async def client(temporal: str, tmp_path: Path) -> AsyncIterator[Client]:
    settings = Settings(temporal_address=temporal, temporal_namespace=f"t-{uuid.uuid4().hex[:12]}", state_dir=tmp_path)
    await wait_until_ready(settings, timeout=30)
    yield await connect(settings)


async def test_largest_definitions_are_reported_and_so_is_everybody_else(client: Client):
    store, news = FakeStore(), News()
    guests = tuple(
        m.DefinedGuest(instance_id=f"id-{n}", stored=each)
        for n, each in enumerate([WORST, m.StoredDefinition(definition="<domain/>"), WORST])
    )
    found = m.HypervisorReport(
        host="cmp-1", incarnation="boot-1", at=NOW, capabilities=HostCapabilities(), guests=guests
    )
    async with Worker(client, task_queue=CONTROL_QUEUE, workflows=ALL, activities=[store.record_report], **OPTIONS):
        assert [await _is_told(client, Settings(), part) for part in news.of(found)] == [True] * 3
    assert [each.instance_id for told in store.reports for each in told.guests] == ["id-0", "id-1", "id-2"]


async def test_part_that_is_too_large_for_the_server_keeps_no_other_back(client: Client):
    """As a definition of 3 MB was, that an older release did not leave out; and one that is over gRPC's 4 MB."""
    store = FakeStore()
    sizes = (3_000_000, 10, 5_000_000, 10)
    parts = [
        m.HypervisorReport(
            host="cmp-1",
            incarnation="boot-1",
            at=NOW,
            capabilities=HostCapabilities(),
            guests=(m.DefinedGuest(instance_id=f"id-{n}", stored=m.StoredDefinition(definition="x" * size)),),
        )
        for n, size in enumerate(sizes)
    ]
    async with Worker(client, task_queue=CONTROL_QUEUE, workflows=ALL, activities=[store.record_report], **OPTIONS):
        assert [await _is_told(client, Settings(), part) for part in parts] == [False, True, False, True]


async def test_guest_with_the_largest_definition_is_evacuated(client: Client):
    cloud = FakeCloud()
    device = m.BlockDevice(volume_id="volume-1", device="vdb", attachment_id="attachment-1")
    cloud.answers("fetch_block_devices", m.BlockDevices(devices=(device,), stored=WORST))
    async with AsyncExitStack() as stack:
        run = await serve(stack, SimpleNamespace(client=client), cloud)  # type: ignore[arg-type]  # its client only
        outcome = await run.outcome()
    assert outcome.outcome == "recovered"
    assert cloud.messages["spawn_guest"][0].guest.definition == WORST.definition
