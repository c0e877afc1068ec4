"""How long the machines run: bounded and the same in every run, or as long as a person asks for.

EVACUATE_EXAMPLES=50 runs fifty times as many examples, each time others."""

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = int(os.environ.get("EVACUATE_EXAMPLES", "1"))


def examples(count: int, *, steps: int) -> settings:
    return settings(
        max_examples=count * TIMES,
        stateful_step_count=steps,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def finding(count: int, *, steps: int) -> settings:
    """To be sure that a defect is found; the shortest way to it is not asked for."""
    return settings(examples(count, steps=steps), derandomize=True, phases=(Phase.generate,))
