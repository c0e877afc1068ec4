"""Keeps one storage daemon running, and what it exports as the store wants it."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import structlog

from evacuation.errors import EvacuateError, VolumeServiceError
from services.volumes.nbd.daemon import daemon
from services.volumes.nbd.exports import Exports
from services.volumes.nbd.layout import Layout

PROGRAM = "qemu-storage-daemon"
START = 5.0
"""Seconds until a new daemon must answer."""
HUNG = 15.0
"""Seconds without an answer after which a daemon that lives is replaced."""
EVERY = 2.0
"""Seconds between two looks at all exports."""
CLIENTS = 1000

log = structlog.stdlib.get_logger("storage")


class StorageService:
    """A daemon that is there is taken over, whoever started it: guests' disks hang on it, so it outlives this service.
    One that died is started again, its exports made anew from the store; one that hangs is killed first."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._layout = exports.layout
        self._answered = time.monotonic()
        self._applied = 0.0

    def look(self) -> bool:
        """One round; whether the daemon answers and exports what the store wants."""
        if not self._is_answering():
            if self._process() is not None and time.monotonic() - self._answered < HUNG:
                return False
            self._replace()
        self._answered = time.monotonic()
        return self._apply()

    def _is_answering(self) -> bool:
        try:
            with daemon(self._layout) as link:
                link.exports()
            return True
        except VolumeServiceError:
            return False

    def _apply(self) -> bool:
        if time.monotonic() - self._applied < EVERY:
            return True
        try:
            self._exports.apply()
        except EvacuateError as error:
            log.error("the exports are not as the store wants them", cause=error.line)
            return False
        self._applied = time.monotonic()
        return True

    def _replace(self) -> None:
        """Raises VolumeServiceError."""
        self.stop()
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
    """It answers. Raises VolumeServiceError."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise VolumeServiceError(
            f"{PROGRAM} is not installed", remedy="install Debian's qemu-system-common, or what has it elsewhere"
        )
    layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.socket.unlink(missing_ok=True)
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
        *("--chardev", f"socket,path={layout.socket},server=on,wait=off,id=qmp"),
        *("--monitor", "chardev=qmp"),
        *("--pidfile", str(layout.pid_file)),
    ]


def _wait(layout: Layout, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + START
    while time.monotonic() < give_up:
        if process.poll() is not None:
            last = layout.log.read_text(errors="replace").strip().splitlines()[-1:]
            raise VolumeServiceError(
                f"{PROGRAM} ended: {last[0] if last else process.returncode}", remedy=str(layout.log)
            )
        try:
            with daemon(layout, timeout=1.0):
                return
        except VolumeServiceError:
            time.sleep(0.05)
    process.kill()
    process.wait()
    raise VolumeServiceError(f"{PROGRAM} does not answer", remedy=f"see {layout.log}")
