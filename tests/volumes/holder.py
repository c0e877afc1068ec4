"""Takes the lock of changes, begins to talk to the daemon, says so and stops in the midst of it:
python -m tests.volumes.holder DIRECTORY ADDRESS"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from services.cloud.nbd.daemon import daemon
from services.cloud.nbd.layout import Layout


@contextmanager
def frozen_holder(layout: Layout) -> Generator["subprocess.Popen[bytes]"]:
    """A worker that holds the lock and does not go on."""
    arguments = [str(layout.directory), f"{layout.host}:{layout.port}"]
    process = subprocess.Popen([sys.executable, "-m", "tests.volumes.holder", *arguments], stderr=subprocess.PIPE)
    try:
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert process.poll() is None
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    directory, address = sys.argv[1:]
    with daemon(Layout.of(Path(directory), address)) as link:
        os.kill(os.getpid(), signal.SIGSTOP)
        link.close_exports(frozenset(link.exports()))


if __name__ == "__main__":
    main()
