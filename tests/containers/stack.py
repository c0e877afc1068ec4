"""The compose stack under test: a project of its own on free ports, driven as an operator drives it."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from testcontainers.compose import DockerCompose

from embedded.temporal_server import free_address
from evacuation.errors import StoreUnavailableError
from evacuation.views import InstanceView
from services.sql import SqlServices, open_services

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PASSWORD = "for-this-test"
SPAWN_DELAY = 4
PATIENCE = 90.0


class Stack:
    def __init__(self, compose: DockerCompose, store_url: str) -> None:
        self._compose = compose
        self._store_url = store_url

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
        services = open_services(self._store_url)
        try:
            return question(services)
        finally:
            services.close()

    def instance(self, name: str) -> InstanceView:
        return self.ask_store(lambda services: next(i for i in services.views.instances() if i.name == name))

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
def stack_of(images: Mapping[str, str], fleet: Path) -> Iterator[Stack]:
    postgres, temporal, ui = (free_address().rsplit(":", 1)[1] for _ in range(3))
    environment = {
        **images,
        "COMPOSE_PROJECT_NAME": f"evacuate-test-{os.getpid()}",
        "EVACUATE_FLEET": str(fleet),
        "EVACUATE_SPAWN_DELAY": str(SPAWN_DELAY),
        "POSTGRES_PASSWORD": PASSWORD,
        "POSTGRES_PORT": postgres,
        "TEMPORAL_PORT": temporal,
        "TEMPORAL_UI_PORT": ui,
    }
    compose = DockerCompose(ROOT / "deploy", compose_file_name="compose.yaml", build=not images)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with compose:
            yield Stack(compose, f"postgresql+psycopg://evacuate:{PASSWORD}@127.0.0.1:{postgres}/evacuate")
