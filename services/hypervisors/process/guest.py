"""A guest: a process that writes who it is to its disk, five times a second.

Started as `python -I -S guest.py --root R --host H --incarnation N --instance I --epoch E --disk-lock yes|no --held FD`
and nothing but the standard library. It makes itself a daemon with a process group of its own. The process that
was started ends when the guest is up, with 0, or when it has failed, with one of the codes below; until then both
keep the inherited descriptor `held` open, so that the lock of the one who started it outlives that one's death.

A line of the disk is `counter epoch host instance seconds`, seconds since 1970 with three decimals.
"""

import fcntl
import os
import signal
import sys
import time

FAILED = 70
LOCKED = 75
OFF = 76
NO_DISK = 77

INTERVAL = 0.2
LOCK_GRACE = 0.5
"""Seconds for which a killed holder may still be on its way out of the kernel."""


class Guest:
    """One guest: it writes who it is to its disk, until its power is off."""

    def __init__(self, arguments: list[str]) -> None:
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        self.instance = given["--instance"]
        self.host = given["--host"]
        self.epoch = given["--epoch"]
        self.incarnation = given["--incarnation"]
        self.locks = given["--disk-lock"] == "yes"
        self.held = int(given["--held"])
        self.disk = os.path.join(given["--root"], "disks", f"{self.instance}.disk")  # noqa: PTH118 (pathlib would cost every guest its memory)
        self.power = os.path.join(given["--root"], "hosts", self.host, "power.json")  # noqa: PTH118 (pathlib would cost every guest its memory)

    def start(self) -> int:
        """Open the disk and write the first record; 0, or the code of the failure with nothing written. A disk that
        is not there is not made: whatever was on it is not on a new one."""
        if not self.is_powered():
            return OFF
        try:
            self.fd = os.open(self.disk, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        except OSError:
            return NO_DISK
        if self.locks and not lock(self.fd):
            return LOCKED
        if os.fstat(self.fd).st_size == 0:
            return NO_DISK
        self.counter, whole = last_counter(self.fd)
        if not whole:
            os.write(self.fd, b"\n")
        self.write()
        return 0

    def is_powered(self) -> bool:
        """Read after this process has become visible in the process table: who cuts the power writes its mark before
        looking there, so that one of the two sees the other."""
        with open(self.power, encoding="utf-8") as file:  # noqa: PTH123 (as above)
            text = "".join(file.read().split())  # By hand it may have been written with blanks.
        return ('"off":false' in text or '"off":' not in text) and f'"incarnation":"{self.incarnation}"' in text

    def write(self) -> None:
        self.counter += 1
        os.write(self.fd, f"{self.counter} {self.epoch} {self.host} {self.instance} {time.time():.3f}\n".encode())

    def run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            self.write()


def lock(fd: int) -> bool:
    """An exclusive lock on the disk, held until this process is gone."""
    deadline = time.monotonic() + LOCK_GRACE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def last_counter(fd: int) -> tuple[int, bool]:
    """The counter of the last whole record (0 without one), and whether the disk ends with a whole line."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, 4096, max(0, size - 4096))
    for line in reversed(tail.split(b"\n")[:-1]):
        fields = line.split(b" ")
        if len(fields) == 5 and fields[0].isdigit():
            return int(fields[0]), tail.endswith(b"\n")
    return 0, not tail or tail.endswith(b"\n")


def become_daemon() -> int:
    """Return in the daemon, with the descriptor that tells the started process how it went."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        status = os.read(reader, 1)
        os._exit(status[0] if status else FAILED)
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return writer


def tell(writer: int, code: int) -> None:
    """Say how the start went; the one who started us may be gone."""
    try:  # noqa: SIM105 (contextlib would cost every guest its memory)
        os.write(writer, bytes([code]))
    except BrokenPipeError:
        pass
    os.close(writer)


def main() -> None:
    guest = Guest(sys.argv[1:])
    writer = become_daemon()
    code = FAILED
    try:
        code = guest.start()
    finally:
        tell(writer, code)
        os.close(guest.held)
    if code == 0:
        guest.run()


if __name__ == "__main__":
    main()
