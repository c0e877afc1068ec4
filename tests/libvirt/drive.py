"""A program that drives a host's libvirt from a process of its own, and dies at a chosen beat.

python -m tests.libvirt.drive OPTIONS_JSON SPEC_JSON [KILL_AT]      (spawns; KILL_AT is how the beat begins)
"""

import json
import os
import signal
import sys
from pathlib import Path

from evacuation.messages import GuestSpec
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.libvirt.options import LibvirtOptions

PATHS = ("state_dir", "incarnation_file", "proc")


def options_from(text: str) -> LibvirtOptions:
    given = json.loads(text)
    given |= {name: Path(given[name]) for name in PATHS}
    return LibvirtOptions(**(given | {"shared_dirs": tuple(map(Path, given["shared_dirs"]))}))


def main(options: str, spec: str, kill_at: str = "never") -> None:
    def beat(progress: str) -> None:
        if progress.startswith(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    guest = GuestSpec.model_validate_json(spec)
    LibvirtHypervisor(options_from(options)).spawn(guest, last_look=lambda: None, beat=beat)


if __name__ == "__main__":
    main(*sys.argv[1:])
