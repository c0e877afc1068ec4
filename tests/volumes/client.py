"""A guest's view of its disk: QEMU's own NBD client, as a process that stays connected."""

import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from evacuation.messages import VolumeTarget

PATTERN = re.compile(r"(?P<done>\d+)/(?P<asked>\d+) bytes|(?P<error>.*(?:error|failed|not available|refused).*)", re.I)


def uri(target: VolumeTarget) -> str:
    return f"nbd://{target.host}:{target.port}/{target.export}"


def names(target: VolumeTarget) -> set[str]:
    """What the server offers to whoever asks."""
    asked = subprocess.run(
        ["nbdinfo", "--list", f"nbd://{target.host}:{target.port}"], capture_output=True, text=True, timeout=20
    )
    return set(re.findall(r'^export="(.*)":$', asked.stdout, re.M))


class Client:
    """`write` returns None when the byte pattern is on the disk, or what the guest is told. `delay` is in seconds: for
    so long it waits for a server that is gone."""

    def __init__(self, target: VolumeTarget, log: Path, *, delay: int = 0) -> None:
        option = f"driver=nbd,server.type=inet,server.host={target.host},server.port={target.port}"
        self._log = log.open("w+")
        self._process = subprocess.Popen(
            ["qemu-io", "--cache", "none", "--image-opts", f"{option},export={target.export},reconnect-delay={delay}"],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def write(self, pattern: int, offset: str = "0") -> str | None:
        self.begin(pattern, offset)
        return self.end()

    def begin(self, pattern: int, offset: str = "0") -> None:
        """Asked for; `end` says what became of it."""
        self._before = len(self._said())
        with suppress(BrokenPipeError):
            self._input.write(f"write -P {pattern} {offset} 4k\nflush\n")
            self._input.flush()

    @property
    def is_waiting(self) -> bool:
        return self._process.poll() is None and PATTERN.search(self._said()[self._before :]) is None

    def end(self) -> str | None:
        while self.is_waiting:
            time.sleep(0.01)
        match = PATTERN.search(self._said()[self._before :])
        return match["error"] if match is not None else self._said()[self._before :] or "ended"

    def _said(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


def first_byte(image: Path) -> int:
    with image.open("rb") as file:
        return file.read(1)[0]
