"""Live progress of evacuations, on stderr: a table on a terminal, a line per step elsewhere."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from cli.outcomes import outcome_of
from cli.output import say, stderr
from cli.requests import Handle
from evacuation.messages import EvacuationOutcome, Progress

INTERVAL = 0.3
MARKS = {"running": "…", "done": "✓", "failed": "✗"}


async def follow(handles: Mapping[str, Handle], *, details: bool = True) -> dict[str, EvacuationOutcome]:
    """The outcomes by instance id, when all have ended; progress is shown meanwhile."""
    ends = {key: asyncio.create_task(outcome_of(handle, key)) for key, handle in handles.items()}
    show = _Table() if stderr().is_terminal else _Lines()
    with show:
        while not all(end.done() for end in ends.values()):
            await asyncio.wait(ends.values(), timeout=INTERVAL)  # noqa: TID251 (in a command, not in a workflow)
            show.update(await _progress(list(handles.values())))
    # Together, so that each error is looked at: asyncio prints the others, as tracebacks.
    return dict(zip(ends, await asyncio.gather(*ends.values()), strict=True))


async def _progress(handles: Sequence[Handle]) -> list[Progress]:
    found = await asyncio.gather(*(progress_of(handle) for handle in handles))
    return [each for each in found if each is not None]


async def progress_of(handle: Handle) -> Progress | None:
    """A worker that is busy or gone answers no query; the evacuation goes on all the same."""
    from datetime import timedelta

    from workflows.evacuate_instance import EvacuateInstance

    with suppress(RPCError, WorkflowQueryFailedError):
        return await handle.query(EvacuateInstance.progress, rpc_timeout=timedelta(seconds=2))
    return None


class _Lines:
    def __init__(self) -> None:
        self._said: set[str] = set()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, all_progress: list[Progress]) -> None:
        for progress in all_progress:
            for line in _lines(progress):
                if line not in self._said:
                    self._said.add(line)
                    say(line)


def _lines(progress: Progress) -> list[str]:
    steps = [
        f"{progress.instance}: {MARKS[step.state]} {step.name}{f' on {step.host}' if step.host else ''}"
        f"{f': {step.note}' if step.note else ''}"
        for step in progress.steps
        if step.state != "running"
    ]
    cause = f": {progress.cause}: {progress.remedy}" if progress.cause else ""
    return [*steps, f"{progress.instance}: {progress.phase}{cause}"]


class _Table:
    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=stderr(), refresh_per_second=8, transient=False)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, all_progress: list[Progress]) -> None:
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        table = Table("instance", "phase", "from", "to", "step", "", box=box.SIMPLE_HEAD)
        for progress in all_progress:
            step = progress.steps[-1] if progress.steps else None
            text = f"{MARKS[step.state]} {step.name}" if step else ""
            cause = f"{progress.cause}: {progress.remedy}" if progress.cause else ""
            table.add_row(
                escape(progress.instance),
                progress.phase,
                progress.source or "?",
                progress.destination or "…",
                text,
                escape(cause),
            )
        self._live.update(table)
