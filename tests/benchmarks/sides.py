"""The two that are compared: the real evacuation, and the floor. Each has its processes, and one way to run one."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)

from control.requests import new_request_id, request_evacuation
from evacuation.messages import Done, EvacuationRequest
from evacuation.names import CONTROL_QUEUE, REQUEST_ID_MEMO
from evacuation.views import InstanceView
from services.runtime.settings import Settings
from services.sql import SqlServices, migrate, open_services
from tests.benchmarks.fleet import DESTINATIONS, SOURCE, fleet_of, power_off_evidence
from tests.benchmarks.floor import Floor, FloorInput
from tests.benchmarks.processes import Processes

READY_TIMEOUT = 60.0


class Side(Protocol):
    """One side of the comparison, for `size` instances and one more to warm up with (number 0)."""

    name: str

    async def start(self, processes: Processes) -> None:
        """Returns when everybody serves."""
        ...

    async def request(self, number: int) -> WorkflowHandle[Any, Any]:
        """Accepted."""
        ...

    def check(self, results: Sequence[Any]) -> None:
        """Everything that was asked for is done."""
        ...

    def close(self) -> None: ...


class Real:
    name = "real"

    def __init__(self, client: Client, settings: Settings, size: int) -> None:
        self._client = client
        self._settings = settings
        self._services = self._open_store(size + 1)
        self._instances: list[InstanceView] = list(self._services.views.instances())

    def _open_store(self, instances: int) -> SqlServices:
        self._settings.state_dir.mkdir(parents=True, exist_ok=True)
        migrate(self._settings.store_url)
        services = open_services(self._settings.store_url)
        services.fleet.load(fleet_of(instances))
        services.evidence.record_evidence(power_off_evidence())
        return services

    async def start(self, processes: Processes) -> None:
        environment = environment_of(self._settings)
        for _ in range(self._settings.control_workers):
            processes.start_python("control", ["worker.py", "control"], environment)
        for host in DESTINATIONS:
            processes.start_python("host", ["worker.py", "host", "--host", host], environment)
        async with asyncio.timeout(READY_TIMEOUT):
            while {h.name for h in self._services.views.hosts() if h.state == "up"} != set(DESTINATIONS):
                processes.check()
                await asyncio.sleep(0.05)

    async def request(self, number: int) -> WorkflowHandle[Any, Any]:
        instance = self._instances[number]
        request = EvacuationRequest(request_id=new_request_id(), instance_id=instance.id, requested_by="benchmark")
        return (await request_evacuation(self._client, instance, request, self._settings.tuning, join=False)).handle

    def check(self, results: Sequence[Any]) -> None:
        assert {result.outcome for result in results} == {"recovered"}, results
        left = [each.name for each in self._services.views.instances() if each.host == SOURCE]
        assert not left, f"still on {SOURCE}: {left}"

    def close(self) -> None:
        self._services.close()


class Baseline:
    name = "floor"

    def __init__(self, client: Client, settings: Settings, size: int) -> None:
        self._client = client
        self._settings = settings

    async def start(self, processes: Processes) -> None:
        environment = environment_of(self._settings)
        roles = ["control"] * self._settings.control_workers + list(DESTINATIONS)
        for role in roles:
            kind = "control" if role == "control" else "host"
            processes.start_python(kind, ["-m", "tests.benchmarks.floor_worker", role], environment)

    async def request(self, number: int) -> WorkflowHandle[Any, Any]:
        start = self._operation(number)
        await self._client.execute_update_with_start_workflow(
            Floor.request, Done(), id=str(uuid.uuid4()), start_workflow_operation=start
        )
        return await start.workflow_handle()

    def _operation(self, number: int) -> WithStartWorkflowOperation[Floor, Done]:
        name, destination = f"vm-{number:04}", DESTINATIONS[number % len(DESTINATIONS)]
        return WithStartWorkflowOperation(
            Floor.run,
            FloorInput(destination=destination, tuning=self._settings.tuning),
            id=f"floor/{uuid.uuid4()}",
            task_queue=CONTROL_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={REQUEST_ID_MEMO: str(uuid.uuid4())},
            search_attributes=_attributes(name),
            static_summary=f"floor of {name}",
            static_details="nothing is done here",
            priority=Priority(priority_key=3, fairness_key="default"),
        )

    def check(self, results: Sequence[Any]) -> None:
        assert all(result == Done() for result in results)

    def close(self) -> None:
        """Nothing is open."""


def _attributes(name: str) -> TypedSearchAttributes:
    values = {
        "EvacuateInstance": name,
        "EvacuateSource": SOURCE,
        "EvacuatePhase": "checking",
        "EvacuateProject": "default",
    }
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(key), value) for key, value in values.items()]
    )


def settings_of(state_dir: Path, address: str, namespace: str, control_workers: int) -> Settings:
    """As the environment gives them, so that a setting can be tried; what has to be so is set here."""
    return Settings(
        state_dir=state_dir,
        temporal_address=address,
        temporal_namespace=namespace,
        control_workers=control_workers,
        hypervisor="simulated",
        fencing="operator",
        log_level="warning",
    )


def environment_of(settings: Settings) -> dict[str, str]:
    names = ("state_dir", "temporal_address", "temporal_namespace", "hypervisor", "fencing", "log_level")
    return {f"EVACUATE_{name.upper()}": str(getattr(settings, name)) for name in names}
