"""The sandbox that every worker, replayer and test runs the workflows in."""

from dataclasses import dataclass
from typing import Any

from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

HELPERS = ("workflows.engine", "workflows.evacuating", "workflows.powering")
"""What defines no workflow. It keeps no state of its own and reads no clock: a test holds that."""


class ContextFree(WorkflowInstance):
    """A run whose payloads are encoded the same in every place.

    The SDK enters the sandbox to ask where a payload belongs, three times for each payload, and compiles code to do
    so. No codec of this project asks; one that would (a key for each workflow, say) has to do without this class."""

    def __init__(self, instance: WorkflowInstance) -> None:
        self._instance = instance

    def activate(self, act: Any) -> Any:
        return self._instance.activate(act)

    def get_serialization_context(self, command_info: Any) -> None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Any:
        return self._instance.get_info()

    def get_thread_id(self) -> int | None:
        return self._instance.get_thread_id()


@dataclass(frozen=True)
class Runner(SandboxedWorkflowRunner):
    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return ContextFree(super().create_instance(det))


RUNNER = Runner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "evacuation", "activities", "pydantic", "pydantic_core", "annotated_types", *HELPERS
    )
)
"""On, with this project's pure modules passed through: a model class is one class inside and outside, and a run does
not import them again, which was half of what a control worker did."""
