"""The sandbox that every worker, replayer and test runs the workflows in."""

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

HELPERS = (
    "workflows.attempts",
    "workflows.backward",
    "workflows.calls",
    "workflows.compensation",
    "workflows.display",
    "workflows.endings",
    "workflows.failures",
    "workflows.forward",
    "workflows.policies",
    "workflows.settling",
    "workflows.state",
    "workflows.steps",
)
"""Modules that define no workflow. They keep no state of their own and read no clock: a test holds that."""

RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "evacuation", "activities", "pydantic", "pydantic_core", "annotated_types", *HELPERS
    )
)
"""On, with this project's pure modules passed through: a model class is one class inside and outside, and a run does
not import them again, which was half of what a control worker did."""
