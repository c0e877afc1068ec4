"""QMP, the QEMU Monitor Protocol: JSON lines over a unix socket, one client at a time."""

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evacuation.errors import VolumeServiceError

REMEDY = "check that `evacuate-worker storage` runs on this machine, and its log"


class QmpError(Exception):
    """The server's own answer to one command. Almost all are of class GenericError: only the text tells them apart."""


class Qmp:
    """A connection. Each command has `timeout` seconds; any failure of the connection is VolumeServiceError."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._lines = self._socket.makefile("r", encoding="utf-8")

    def __enter__(self) -> Self:
        """Raises VolumeServiceError when nobody answers: nobody listens, or it hangs, or serves another client."""
        try:
            self._socket.connect(str(self._path))
            self._read()
            self.execute("qmp_capabilities")
        except BaseException as error:
            self._close()
            if isinstance(error, OSError | ValueError):
                raise self._lost(error) from None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """The command's result. Raises QmpError, VolumeServiceError."""
        request = {"execute": command, "arguments": {k.replace("_", "-"): v for k, v in arguments.items()}}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while True:
                answer = self._read()
                if "error" in answer:
                    raise QmpError(answer["error"].get("desc", "unknown error"))
                if "return" in answer:
                    return answer["return"]
        except (OSError, ValueError) as error:
            raise self._lost(error) from None

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionError("closed")
        return json.loads(line)

    def _close(self) -> None:
        """Both: a socket stays open for as long as a file of it is."""
        self._lines.close()
        self._socket.close()

    def _lost(self, error: Exception) -> VolumeServiceError:
        why = "does not answer in time" if isinstance(error, TimeoutError) else "is not reachable"
        return VolumeServiceError(f"the storage daemon {why}", remedy=REMEDY)
