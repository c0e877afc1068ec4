"""Live progress of evacuations, on stderr: a table on a terminal, a line per step elsewhere."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from cli.output import say, stderr
from control.outcomes import outcome_of
from control.progress import Failing, progress_of
from control.running import Handle
from evacuation.errors import EvacuateError
from evacuation.messages import EvacuationOutcome, Progress

INTERVAL = 1.0
"""Seconds between two questions to an evacuation. Its end is waited for beside them, and is known at once."""
AT_A_TIME = 8
MARKS = {"running": "…", "done": "✓", "failed": "✗"}


async def follow(handles: Mapping[str, Handle]) -> dict[str, EvacuationOutcome]:
    """The outcomes by instance id, when all have ended; progress is shown meanwhile. Raises
    TemporalUnavailableError."""
    found: dict[str, EvacuationOutcome] = {}
    for key, end in (await follow_each(handles)).items():
        if isinstance(end, EvacuateError):
            raise end
        found[key] = end
    return found


async def follow_each(handles: Mapping[str, Handle]) -> dict[str, EvacuationOutcome | EvacuateError]:
    """As `follow`: of one that is lost sight of, the error. Of many only some are asked at a time, in turn."""
    ends = {key: asyncio.create_task(_end_of(handle, key)) for key, handle in handles.items()}
    show = _Table() if stderr().is_terminal else _Lines()
    failing, known, turns = Failing(), dict[str, Progress](), deque(handles.values())
    with show:
        while not all(end.done() for end in ends.values()):
            await asyncio.wait(ends.values(), timeout=INTERVAL)  # noqa: TID251 (in a command, not in a workflow)
            asked = [turns.popleft() for _ in range(min(AT_A_TIME, len(turns)))]
            known |= await _progress(asked, failing)
            turns.extend(each for each in asked if each.id not in known or known[each.id].phase != "ended")
            show.update(list(known.values()))
    return {key: end.result() for key, end in ends.items()}


async def _end_of(handle: Handle, instance_id: str) -> EvacuationOutcome | EvacuateError:
    try:
        return await outcome_of(handle, instance_id)
    except EvacuateError as error:
        return error


async def _progress(handles: Sequence[Handle], failing: Failing) -> dict[str, Progress]:
    """By workflow id."""
    found = await asyncio.gather(*(progress_of(handle) for handle in handles))
    known = [(handle, each) for handle, each in zip(handles, found, strict=True) if each is not None]
    return {handle.id: await failing.marked(handle, each) for handle, each in known}


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
    failing = [f"{progress.instance}: {progress.retrying.line}"] if progress.retrying else []
    return [*steps, *failing, f"{progress.instance}: {progress.phase}{cause}"]


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
            if progress.retrying:
                cause = f"{progress.retrying.times} times: {progress.retrying.line}"
            table.add_row(
                escape(progress.instance),
                progress.phase,
                progress.source or "?",
                progress.destination or "…",
                text,
                escape(cause),
            )
        self._live.update(table)
