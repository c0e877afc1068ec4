"""Keeps one storage daemon running, and what it exports as the store wants it."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from evacuation.errors import EvacuateError, VolumeServiceError
from services.cloud.nbd.exports import Exports
from services.cloud.nbd.health import Silence, gives_a_sign, is_answering
from services.cloud.nbd.layout import Layout

PROGRAM = "qemu-storage-daemon"
START = 5.0
"""Seconds until a new daemon must answer."""
HUNG = 15.0
"""Seconds without any sign of life after which a daemon whose process lives is replaced."""
EVERY = 2.0
"""Seconds between two looks at all exports."""
TOLD = 60.0
"""Seconds after which what is still wrong is told again."""
CLIENTS = 1000

log = structlog.stdlib.get_logger("storage")


class StorageService:
    """A daemon that is there is taken over, whoever started it: guests' disks hang on it, so it outlives this service.
    One that died is started again, its exports made again from the store; one that hangs is killed first. That somebody
    does not let go of the lock of changes is no sign of either: he is named, and the daemon is left alone."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._layout = exports.layout
        self._silence = Silence()
        self._applied = 0.0
        self._told = ("", 0.0)

    def look(self) -> bool:
        """One round; whether the daemon answers and exports what the store wants."""
        if self._lives():
            self._silence.broken()
        elif self._process() is None or self._silence.went_on(HUNG):
            self._replace()
        else:
            return False
        return self._apply()

    def _lives(self) -> bool:
        return is_answering(self._layout) or (self._process() is not None and gives_a_sign(self._layout))

    def _apply(self) -> bool:
        if time.monotonic() - self._applied < EVERY:
            return True
        try:
            self._exports.apply()
        except EvacuateError as error:
            self._tell(error.line)
            return False
        self._applied = time.monotonic()
        self._told = ("", 0.0)
        return True

    def _tell(self, cause: str) -> None:
        before, at = self._told
        if cause != before or time.monotonic() - at >= TOLD:
            log.error("the exports are not as the store wants them", cause=cause)
            self._told = (cause, time.monotonic())

    def _replace(self) -> None:
        """Raises VolumeServiceError."""
        if self._process() is not None:
            log.warning("the storage daemon gives no sign of life", seconds=HUNG)
        self.stop()
        self._silence.broken()
        self._applied = 0.0
        start_daemon(self._layout)
        log.info("storage daemon started", pid=self._layout.pid_file.read_text().strip())

    def stop(self) -> None:
        """The daemon is gone, and nothing of it writes any more."""
        process = self._process()
        if process is not None:
            log.warning("storage daemon killed", pid=process.pid)
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            with suppress(psutil.Error):
                process.wait(START)

    def _process(self) -> psutil.Process | None:
        """The daemon of this directory, by its own pid file: alive, and no other program that got its number."""
        try:
            process = psutil.Process(int(self._layout.pid_file.read_text()))
            is_it = f"path={self._layout.socket}," in " ".join(process.cmdline())
            return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.Error):
            return None


def start_daemon(layout: Layout) -> None:
    """It answers, and nobody has anything to do with it yet: who held the lock of its predecessor, which is dead, was
    about to change that one. Raises VolumeServiceError."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise VolumeServiceError(
            f"{PROGRAM} is not installed", remedy="install Debian's qemu-system-common, or what has it elsewhere"
        )
    layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in (layout.socket, layout.health, layout.lock):
        left.unlink(missing_ok=True)
    with layout.log.open("ab") as output:
        process = subprocess.Popen(
            [program, *_arguments(layout)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _wait(layout, process)


def _arguments(layout: Layout) -> list[str]:
    server = f"addr.type=inet,addr.host={layout.host},addr.port={layout.port},max-connections={CLIENTS}"
    return [
        *("--nbd-server", server),
        *_monitor("qmp", layout.socket),
        *_monitor("alive", layout.health),
        *("--pidfile", str(layout.pid_file)),
    ]


def _monitor(name: str, socket: Path) -> list[str]:
    return ["--chardev", f"socket,path={socket},server=on,wait=off,id={name}", "--monitor", f"chardev={name}"]


def _wait(layout: Layout, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + START
    while time.monotonic() < give_up:
        if process.poll() is not None:
            last = layout.log.read_text(errors="replace").strip().splitlines()[-1:]
            raise VolumeServiceError(
                f"{PROGRAM} ended: {last[0] if last else process.returncode}", remedy=str(layout.log)
            )
        if is_answering(layout):
            return
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise VolumeServiceError(f"{PROGRAM} does not answer", remedy=f"see {layout.log}")
