"""The real embedded stack, driven as its users drive it: the command line, called in this process."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import yaml
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle

from control.check import gather
from embedded.processes import end_all, stack_processes, with_role
from embedded.temporal_server import command, free_address
from evacuation.invariants import World
from evacuation.names import evacuate_instance_id
from services.runtime.stack_record import settings_for
from services.runtime.temporal import connect
from services.sql import SqlServices, open_services
from starter import run as run_command
from workflows.evacuate_instance import EvacuateInstance

SCALE = "0.25"
QUICK = ("--dynamic-config-value", 'system.namespaceCacheRefreshInterval="300ms"')
"""A namespace is there within 0.3 s of its registration, not within one."""
LAVISH = {"GOGC": "400"}
"""Memory for processor time: a server lives for some minutes only."""
STARTS = 3
PATIENCE = 50.0
PAUSE = 0.1
EVACUATE = str(Path(sys.executable).parent / "evacuate")


@contextmanager
def temporal_server(directory: Path, *options: str) -> Iterator[str]:
    """The address of a development server, for as many stacks as want a namespace on it. `options`: more of its own."""
    from embedded.state import StateDir

    with ExitStack() as started, (directory / "temporal.log").open("wb") as log:
        for _ in range(STARTS):
            address = free_address()
            program = [*command(StateDir(directory), address, None), *QUICK, *options]
            # Ctrl-C is not for it: what is in flight ends against a server that answers.
            server = subprocess.Popen(program, env=os.environ | LAVISH, stdout=log, stderr=log, start_new_session=True)
            started.callback(_end, server)
            if _is_ready(server, address):
                yield address
                return
        raise AssertionError(f"Temporal does not start: see {directory}/temporal.log")


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()


def _is_ready(server: subprocess.Popen[bytes], address: str) -> bool:
    """False: it has ended. Between the choice of a port and its use somebody else may have got it, also another server
    of this kind, which would answer in its place."""
    port = int(address.rsplit(":", 1)[1])
    while server.poll() is None:
        if _listens(server, port) and _answers(address):
            return True
        time.sleep(0.05)
    return False


def _listens(server: subprocess.Popen[bytes], port: int) -> bool:
    with suppress(psutil.Error):
        own = psutil.Process(server.pid).net_connections("tcp")
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in own)
    return False


def _answers(address: str) -> bool:
    """Asked in a thread of its own: the caller may have a loop that runs."""
    with ThreadPoolExecutor(1) as pool, suppress(RuntimeError):
        pool.submit(lambda: asyncio.run(Client.connect(address))).result()
        return True
    return False


class Answer:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Background:
    """A command that runs while the test goes on; what it says can be read meanwhile."""

    def __init__(self, words: list[str], output: Path, environment: dict[str, str]) -> None:
        self._out, self._err = output.with_suffix(".out"), output.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen([EVACUATE, *words], env=environment, stdout=out, stderr=err)

    @property
    def said(self) -> str:
        return plain(self._err.read_text())

    def wait(self) -> Answer:
        code = self._process.wait(timeout=PATIENCE)
        return Answer(code, self._out.read_text(), self._err.read_text())

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Stack:
    """One state directory and one namespace; without `temporal`, a server of its own."""

    def __init__(self, directory: Path, temporal: str | None, *, settings: dict[str, str] | None = None) -> None:
        self.directory = directory
        shared = {
            "EVACUATE_TEMPORAL_ADDRESS": temporal,
            "EVACUATE_TEMPORAL_NAMESPACE": f"t-{uuid.uuid4().hex[:12]}",
        }
        self.environment = {
            "EVACUATE_STATE_DIR": str(directory / "state"),
            "EVACUATE_TIME_SCALE": SCALE,
            **({name: value for name, value in shared.items() if value} if temporal else {}),
        } | (settings or {})
        self.faults = directory / "faults.yaml"
        self._background: list[Background] = []

    def run(self, line: str | list[str]) -> Answer:
        """A command, in this process."""
        out, err = StringIO(), StringIO()
        words = line.split() if isinstance(line, str) else line
        with self.as_environment(), redirect_stdout(out), redirect_stderr(err):
            code = run_command(words)
        return Answer(code, out.getvalue(), err.getvalue())

    def start(self, words: list[str]) -> "Background":
        """A command as a process of its own, while the test goes on."""
        output = self.directory / f"command-{len(self._background)}"
        self._background.append(Background(words, output, os.environ | self.environment))
        return self._background[-1]

    @contextmanager
    def as_environment(self) -> Iterator[None]:
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def up(self, fleet: dict[str, Any], faults: list[dict[str, Any]]) -> None:
        path = self.directory / "fleet.yaml"
        path.write_text(yaml.safe_dump(fleet))
        self.set_faults(faults)
        answer = self.run(["up", "--detach", "--fleet", str(path), "--faults", str(self.faults)])
        assert answer.code == 0, answer

    def set_faults(self, faults: list[dict[str, Any]]) -> None:
        fresh = self.faults.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(faults))
        fresh.replace(self.faults)

    def down(self) -> None:
        """Ends everything, and proves it. Nothing is asked to end by itself: that has tests of its own."""
        state_dir = Path(self.environment["EVACUATE_STATE_DIR"])
        end_all(lambda: with_role(state_dir, "supervisor"), grace=0, timeout=PATIENCE)
        self.run("down")
        for started in self._background:
            started.end()
        left = stack_processes(state_dir)
        assert not left, f"left running: {left}"

    def worker(self, role: str, *, newest: bool = False, of: int = 1) -> int:
        """The pid of the control worker, or of a host's; of several, the first or the newest one. `of`: at least so
        many must run."""
        found = [each for each in stack_processes(Path(self.environment["EVACUATE_STATE_DIR"])) if _serves(each, role)]
        assert len(found) >= of, f"{len(found)} workers {role} run, not {of}"
        return max(found, key=lambda each: each.create_time()).pid if newest else found[0].pid

    @contextmanager
    def services(self) -> Iterator[SqlServices]:
        with self.as_environment():
            services = open_services(settings_for().store_url)
        try:
            yield services
        finally:
            services.close()

    def world(self) -> World:
        with self.as_environment(), self.services() as services:
            return gather(settings_for(), services)[0]

    def instance_id(self, name: str) -> str:
        with self.services() as services:
            return services.views.resolve_instance(name)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        import sqlite3

        with self.as_environment():
            path = settings_for().store_url.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, timeout=10)
        with closing(connection), connection:
            return connection.execute(statement).fetchall()

    def sql_says(self, query: str) -> bool:
        rows = self.sql(query)
        return bool(rows and rows[0][0])

    def with_workflow(
        self,
        name: str,
        do: Callable[[Client, WorkflowHandle[Any, Any]], Any],
        *,
        workflow: Callable[[str], str] = evacuate_instance_id,
    ) -> Any:
        """Runs `do` with the workflow that evacuates the instance, or with another one of it."""

        async def run() -> Any:
            client = await connect(settings_for())
            return await do(client, client.get_workflow_handle(workflow(instance_id)))

        instance_id = self.instance_id(name)
        with self.as_environment():
            return asyncio.run(run())

    def terminate(self, name: str, *, workflow: Callable[[str], str] = evacuate_instance_id) -> None:
        self.with_workflow(name, lambda _, handle: handle.terminate("by a test"), workflow=workflow)

    def reset(self, name: str) -> None:
        """To the first workflow task, as the Web UI's button does."""

        async def reset(client: Client, handle: WorkflowHandle[Any, Any]) -> None:
            description = await handle.describe()
            await client.workflow_service.reset_workflow_execution(
                ResetWorkflowExecutionRequest(
                    namespace=client.namespace,
                    workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=description.run_id),
                    reason="by a test",
                    workflow_task_finish_event_id=4,
                    request_id=str(uuid.uuid4()),
                )
            )

        self.with_workflow(name, reset)

    def until_step(self, name: str, step: str) -> None:
        """Until the workflow has scheduled the step and not yet its answer, or is in that phase."""

        async def look(_: Client, handle: WorkflowHandle[Any, Any]) -> bool:
            with suppress(Exception):
                seen = await handle.query(EvacuateInstance.progress)
                return seen.phase == step or any((s.name, s.state) == (step, "running") for s in seen.steps)
            return False

        self._until_workflow(name, look, f"{name} is at {step}")

    def until_cancel_is_asked(self, name: str) -> None:
        """Until the request to cancel is in the workflow's history."""

        async def look(_: Client, handle: WorkflowHandle[Any, Any]) -> bool:
            history = await handle.fetch_history()
            return any(e.HasField("workflow_execution_cancel_requested_event_attributes") for e in history.events)

        self._until_workflow(name, look, f"a cancel of {name} is asked for")

    def _until_workflow(self, name: str, look: Callable[[Client, WorkflowHandle[Any, Any]], Any], what: str) -> None:
        """One client asks, until it is so."""

        async def wait(client: Client, handle: WorkflowHandle[Any, Any]) -> None:
            deadline = time.monotonic() + PATIENCE
            while not await look(client, handle):
                assert time.monotonic() < deadline, f"never: {what}"
                await asyncio.sleep(PAUSE)

        self.with_workflow(name, wait)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.05)


def _serves(process: psutil.Process, role: str) -> bool:
    with suppress(Exception):
        words = process.cmdline()
        programs = [n for n, word in enumerate(words) if Path(word).name in ("worker.py", "evacuate-worker")]
        programs += [n + 1 for n, word in enumerate(words[:-1]) if words[n : n + 2] == ["-m", "worker"]]
        given = [words[n + 1 :] for n in programs]
        return any(each[:1] == [role] or (each[:1] == ["host"] and role in each) for each in given)
    return False


def plain(text: str) -> str:
    """One line, without what a terminal adds."""
    return re.sub(r"\s+", " ", text)
