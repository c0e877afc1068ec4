"""The sandbox that every worker, replayer and test runs the workflows in."""

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "evacuation", "activities", "pydantic", "pydantic_core", "annotated_types"
    )
)
"""On, with this project's pure packages passed through: a model class is one class inside and outside, and a run does
not import them again."""
