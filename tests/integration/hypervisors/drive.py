"""A program that drives a hypervisor from a process of its own: spawn or destroy, and die at a chosen beat.

python -m tests.integration.hypervisors.drive ROOT spawn|destroy EPOCH INSTANCE [KILL_AT]
"""

import os
import signal
import sys
from pathlib import Path

from evacuation.errors import StaleEpochError
from services.hypervisors.process import ProcessHypervisor
from tests.integration.hypervisors.worlds import spec

CALLED_OFF = 3


def main(root: str, what: str, epoch: str, instance_id: str, kill_at: str = "never") -> int:
    def beat(progress: str) -> None:
        if progress.startswith(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    hypervisor = ProcessHypervisor(Path(root), "cmp-1")
    if what == "destroy":
        hypervisor.destroy(instance_id, int(epoch))
        return 0
    try:
        hypervisor.spawn(spec(int(epoch), instance_id=instance_id), last_look=lambda: None, beat=beat)
    except StaleEpochError:
        return CALLED_OFF
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
