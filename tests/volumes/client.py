"""A guest's view of its disk: QEMU's own NBD client, as a process that stays connected."""

import re
import subprocess
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
    """`write` returns None when the byte pattern is on the disk, or what the guest is told."""

    def __init__(self, target: VolumeTarget, log: Path, *, reconnects: bool = False) -> None:
        delay = "30" if reconnects else "0"
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
        before = len(self._said())
        try:
            self._input.write(f"write -P {pattern} {offset} 4k\nflush\n")
            self._input.flush()
        except BrokenPipeError:
            return self._said()
        return self._answer(before)

    def _answer(self, before: int) -> str | None:
        while True:
            match = PATTERN.search(self._said()[before:])
            if match is not None:
                return match["error"]
            if self._process.poll() is not None:
                return self._said()[before:] or "ended"

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
