"""What a person sees in the Temporal Web UI and in `evacuate watch`: the steps as a live table."""

from datetime import datetime
from typing import Literal

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from evacuation.messages import Progress, StepView
from evacuation.retries import TOLD_AFTER, Retrying

DESTINATION = SearchAttributeKey.for_keyword("EvacuateDestination")
PHASE = SearchAttributeKey.for_keyword("EvacuatePhase")

Phase = Literal["checking", "fencing", "evacuating", "settling", "blocked", "undoing", "finishing", "ended"]
MARKS = {"running": "…", "done": "✓", "failed": "✗"}
ROWS = 60
GAP = "&nbsp;&nbsp;"


class Display:
    """The state that is shown. Search attributes are written only where an operator would search by them."""

    def __init__(self, instance: str, evacuation_id: str) -> None:
        self.evacuation_id = evacuation_id
        self.instance = instance
        self.source: str | None = None
        self.destination: str | None = None
        self.phase: Phase = "checking"
        self.attempt = 0
        self.cause = ""
        self.remedy = ""
        self.outcome = ""
        self.retrying: Retrying | None = None
        self._steps: list[StepView] = []

    def begin(self, name: str, host: str | None) -> int:
        self._steps.append(StepView(name=name, host=host, state="running", started_at=workflow.now()))
        self._show()
        return len(self._steps) - 1

    def end(self, index: int, state: Literal["done", "failed"], note: str = "") -> StepView:
        step = self._steps[index].model_copy(update={"state": state, "finished_at": workflow.now(), "note": note[:300]})
        self._steps[index] = step
        self._show()
        return step

    def enter(self, phase: Phase, *, cause: str = "", remedy: str = "") -> None:
        if (phase, cause, remedy) != (self.phase, self.cause, self.remedy):
            self.phase, self.cause, self.remedy = phase, cause, remedy
            self._show()

    def retry(self, activity: str, times: int, *, since: datetime, error: str) -> None:
        """It has failed so many times, and is tried again."""
        if times >= TOLD_AFTER:
            self.retrying = Retrying(
                evacuation_id=self.evacuation_id,
                instance=self.instance,
                activity=activity,
                times=times,
                last_error=error,
                since=since,
            )
            self._show()

    def end_all(self) -> None:
        self.enter("ended", cause=self.cause, remedy=self.remedy)

    def publish(self) -> None:
        """Make phase and destination searchable."""
        workflow.upsert_search_attributes([PHASE.value_set(self.phase), DESTINATION.value_set(self.destination or "-")])

    def progress(self) -> Progress:
        return Progress(
            evacuation_id=self.evacuation_id,
            instance=self.instance,
            source=self.source,
            destination=self.destination,
            phase=self.phase,
            attempt=self.attempt,
            steps=tuple(self._steps),
            cause=self.cause,
            remedy=self.remedy,
            retrying=self.retrying,
        )

    def _show(self) -> None:
        workflow.set_current_details("\n".join([*self._headline(), "", *self._table()]))

    def _headline(self) -> list[str]:
        where = f"{self.source or '?'} → {self.destination or '…'}"
        lines = [f"**{self.instance}**: {where}, attempt {self.attempt}, **{self.outcome or self.phase}**"]
        if self.cause:
            lines += ["", f"Cause: {self.cause}"]
        if self.remedy:
            lines += ["", f"Remedy: {self.remedy}"]
        if self.retrying:
            lines += ["", f"Tried {self.retrying.times} times: {self.retrying.line}"]
        return lines

    def _table(self) -> list[str]:
        rows = [
            f"| {MARKS[s.state]}{GAP} | {s.name}{GAP} | {s.host or ''}{GAP} | {_took(s)}{GAP} | {_cell(s.note)} |"
            for s in self._steps[-ROWS:]
        ]
        return ["| | step | host | seconds | |", "|---|---|---|---|---|", *rows]


def _took(step: StepView) -> str:
    return f"{(step.finished_at - step.started_at).total_seconds():.2f}" if step.finished_at else ""


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
