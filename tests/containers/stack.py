"""The compose stack under test: a project of its own on free ports, driven as an operator drives it."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest
from testcontainers.compose import DockerCompose

from embedded.temporal_server import free_address
from evacuation.errors import StoreUnavailableError
from evacuation.views import HostView, InstanceView
from services.sql import SqlServices, open_services

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PASSWORD = "for-this-test"
PATIENCE = 90.0
NUMBERS = count(1)


class Stack:
    def __init__(self, compose: DockerCompose, project: str, *, store_url: str, temporal: str) -> None:
        self._compose = compose
        self.project = project
        self.store_url = store_url
        self.temporal = temporal

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self._compose.docker_compose_command(), *words]
        return subprocess.run(command, cwd=ROOT / "deploy", capture_output=True, text=True, timeout=120, check=False)

    def operator(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`evacuate ...` in a container of its own."""
        return self.compose("run", "--rm", "--no-deps", "--no-TTY", "operator", *words)

    def kill(self, service: str) -> None:
        self.compose("kill", service).check_returncode()

    def start(self, service: str) -> None:
        self.compose("start", service).check_returncode()

    def ask_store(self, question: Callable[[SqlServices], T]) -> T:
        services = open_services(self.store_url)
        try:
            return question(services)
        finally:
            services.close()

    def instance(self, name: str) -> InstanceView:
        return self.ask_store(lambda services: next(i for i in services.views.instances() if i.name == name))

    def host(self, name: str) -> HostView:
        return self.ask_store(lambda services: next(h for h in services.views.hosts() if h.name == name))

    def until(self, name: str, holds: Callable[[InstanceView], bool]) -> InstanceView:
        """The instance, as soon as that holds of it; a store that is away meanwhile is waited for."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if holds(found := self.instance(name)):
                    return found
            except StoreUnavailableError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{self.instance(name)}\n{self.logs()}")

    def logs(self) -> str:
        return self.compose("logs", "--tail", "40", "--no-color").stdout


@contextmanager
def stack_of(
    images: Mapping[str, str],
    fleet: Path,
    *,
    files: Sequence[str] = ("compose.yaml",),
    settings: Mapping[str, str] = {},
) -> Iterator[Stack]:
    """Up and healthy; nothing of it is left afterwards, its volumes included. `files` are seen from deploy/."""
    postgres, temporal, ui = (free_address().rsplit(":", 1)[1] for _ in range(3))
    project = f"evacuate-test-{os.getpid()}-{next(NUMBERS)}"
    environment = {
        **images,
        "COMPOSE_PROJECT_NAME": project,
        "EVACUATE_FLEET": str(fleet),
        "POSTGRES_PASSWORD": PASSWORD,
        "POSTGRES_PORT": postgres,
        "TEMPORAL_PORT": temporal,
        "TEMPORAL_UI_PORT": ui,
        **settings,
    }
    compose = DockerCompose(ROOT / "deploy", compose_file_name=list(files), build="EVACUATE_IMAGE" not in images)
    store_url = f"postgresql+psycopg://evacuate:{PASSWORD}@127.0.0.1:{postgres}/evacuate"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with compose:
            stack = Stack(compose, project, store_url=store_url, temporal=f"127.0.0.1:{temporal}")
            try:
                yield stack
            finally:
                stack.compose("unpause")
                stack.compose("kill")
