"""Processes that look like QEMUs, and some that do not quite."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

PROGRAM = "/usr/bin/qemu-system-x86_64"
SLEEPS = "import time; print(flush=True); time.sleep(600)"
IGNORES = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
LEADER_ENDS = (
    "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); print(flush=True);"
    " libc = ctypes.CDLL(None); libc.prctl(15, b'qemu-system-x86'); libc.pthread_exit(None)"
)
"""Its first thread is a zombie, called as QEMU is, and another one lives."""


class Qemus:
    """Each lives until it is ended, at the latest by the end of the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(
        self, instance: str, *, program: str = PROGRAM, does: str = SLEEPS, name: str = "guest=vm1,debug-threads=on"
    ) -> "subprocess.Popen[bytes]":
        words = [program, "-Sc", does, "-name", name, "-S", "-uuid", instance, "-display", "none"]
        # Python finds its library by its name, and this one has another's.
        home = {"PYTHONHOME": sys.base_prefix}
        process = subprocess.Popen(words, executable=sys.executable, env=home, stdout=subprocess.PIPE)
        self._stack.callback(_end, process)
        assert process.stdout is not None
        process.stdout.readline()
        return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


@contextmanager
def qemus() -> Iterator[Qemus]:
    with ExitStack() as stack:
        yield Qemus(stack)
