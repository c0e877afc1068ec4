"""Commands to which Temporal, or every control worker, falls silent in the midst: one line, and what is known."""

import asyncio
import gc
import subprocess
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from temporalio import workflow

from cli.watching import follow
from control.outcomes import outcome_of
from control.running import cancel_running
from embedded.state import StateDir
from evacuation import messages as m
from evacuation.errors import TemporalUnavailableError
from evacuation.names import evacuate_instance_id
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from services.sql import open_services
from tests.cli.conftest import Command, called, unserved_at
from tests.cli.interference import NAME, Happening, absence, begin, connect_before, instance, serving, silence
from tests.cli.test_refusals import is_one_line
from tests.support.stack import EVACUATE, PATIENCE, Answer, temporal_server

CANCEL = ("instance", "cancel", NAME, "--json")
JOIN = ("instance", "evacuate", NAME, "--join", "--no-wait", "--json")


def interfere(monkeypatch: pytest.MonkeyPatch, call: str, happening: Happening) -> None:
    """Before the call, in every command on evacuations."""
    monkeypatch.setattr("cli.evacuations.connect", lambda _: connect_before(call, happening))


def open_evacuation(evacuation_id: str) -> None:
    """As a run before this one left it."""
    services = open_services(settings_for().store_url)
    facts = services.store.check_facts(instance().id)
    ref = m.AttemptRef(evacuation_id=evacuation_id, owner=evacuation_id, instance_id=instance().id)
    services.store.begin(
        m.Begin(ref=ref, instance=facts.instance, source_incarnation=None, adopts=None, request_id="first")
    )
    services.close()


def test_joined_evacuation_is_named_by_its_run_when_no_control_worker_answers(unserved: StateDir) -> None:
    run_id = asyncio.run(begin())
    answer = called(*JOIN)
    assert (answer.code, answer.json["outcome"], answer.json["evacuation_id"]) == (0, "accepted", run_id), answer
    assert "joined" in answer.err and "it goes on when a control worker runs" in answer.err


def test_joined_evacuation_is_named_as_the_store_has_it_when_no_control_worker_answers(unserved: StateDir) -> None:
    open_evacuation("adopted")
    asyncio.run(begin())
    assert called(*JOIN).json["evacuation_id"] == "adopted"


def test_nothing_is_cancelled_when_the_evacuation_is_gone_before_it_can_be_asked(
    unserved: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(begin())
    interfere(monkeypatch, "cancel_workflow", absence)
    answer = called(*CANCEL)
    is_one_line(answer, 2, f"no evacuation of {NAME} is running", "nothing to cancel")
    assert (answer.json["outcome"], answer.json["error_type"]) == ("refused", "NotRunningError")


@workflow.defn(name="EvacuateInstance")
class GoesOn:
    """In a new run, once it is told to; until it is cancelled."""

    def __init__(self) -> None:
        self._told = False

    @workflow.run
    async def run(self, input: m.EvacuateInstanceInput) -> None:
        await workflow.wait_condition(lambda: self._told)
        workflow.continue_as_new(input)

    @workflow.signal
    def look_again(self) -> None:
        self._told = True


def test_cancel_reaches_the_next_run_when_the_evacuation_goes_on_in_it(unserved: StateDir) -> None:
    async def cancel() -> m.EvacuationOutcome:
        first = await begin()
        evacuation = (await connect(settings_for())).get_workflow_handle(evacuate_instance_id(instance().id))

        async def go_on() -> None:
            await evacuation.signal("look_again")
            while (await evacuation.describe()).run_id == first:
                await asyncio.sleep(0.05)

        async with serving(GoesOn):
            handle = await cancel_running(await connect_before("cancel_workflow", go_on), instance().id)
            assert handle is not None
            return await asyncio.wait_for(outcome_of(handle, instance().id), 20)

    assert asyncio.run(cancel()).outcome == "cancelled"


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (CANCEL, "cancel_workflow"),
        (CANCEL, "describe_workflow"),
        (JOIN, "describe_workflow"),
        (("watch", NAME, "--json"), "describe_workflow"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_command_ends_with_one_line_when_temporal_falls_silent(
    unserved: StateDir, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], call: str
) -> None:
    asyncio.run(begin())
    interfere(monkeypatch, call, silence)
    answer = called(*words)
    is_one_line(answer, 3, "Temporal did not answer", "connection refused", "ask again")
    assert answer.out == ""


def test_stdout_stays_empty_when_temporal_dies_in_the_midst(tmp_path: Path) -> None:
    with ExitStack() as server, ExitStack() as rest:
        address = server.enter_context(temporal_server(tmp_path))
        rest.enter_context(unserved_at(address, tmp_path / "state"))
        asyncio.run(begin())
        words = [EVACUATE, "instance", "evacuate", NAME, "--join", "--json"]
        command = rest.enter_context(subprocess.Popen(words, stdout=PIPE, stderr=PIPE, text=True))
        rest.callback(command.kill)
        assert command.stderr is not None and "joined" in command.stderr.readline()
        server.close()
        out, err = command.communicate(timeout=PATIENCE)
    is_one_line(Answer(command.returncode, out, err), 3, "Temporal did not answer", "ask again")
    assert out == ""


async def nothing(*_: Any, **__: Any) -> None:
    pass


async def fail(*_: Any, **__: Any) -> None:
    await silence()


def test_call_that_nobody_expected_to_fail_is_one_line_too(
    evacuate: Command, store: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.deletions.connect", nothing)
    monkeypatch.setattr("cli.deletions.delete", fail)
    is_one_line(evacuate("instance", "delete", NAME), 3, "Temporal did not answer")


def test_defect_is_not_taken_for_silence(evacuate: Command, store: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.deletions.connect", nothing)
    monkeypatch.setattr("cli.deletions.delete", lambda *_: {}["no such key"])
    with pytest.raises(KeyError):
        evacuate("instance", "delete", NAME)


class Gone:
    """A handle to which Temporal does not answer."""

    id = "evacuate-instance/gone"
    result = query = staticmethod(fail)


def test_only_one_error_is_told_when_temporal_falls_silent_to_many(caplog: pytest.LogCaptureFixture) -> None:
    handles: Any = {name: Gone() for name in ("one", "two")}
    with pytest.raises(TemporalUnavailableError):
        asyncio.run(follow(handles))
    gc.collect()
    assert not caplog.records
