"""One hypervisor has one worker, whatever the worker's host and directory are called."""

import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from evacuation.errors import HostAlreadyServedError
from evacuation.ports import HostIdentity
from services.hypervisors.lasting import LastingMemory
from workers.sole import only_worker_there
from workers.stuck import EXIT_CODE

WIPED = """
import asyncio, shutil, sys
from pathlib import Path
from evacuation.ports import HostIdentity
from services.hypervisors.lasting import LastingMemory
from workers.sole import only_worker_there

async def serve(folder):
    me = HostIdentity(hypervisor_uuid=sys.argv[2], machine_id="m", incarnation="b", memory=LastingMemory(folder).mark())
    async with only_worker_there(me, folder=folder):
        print("serving", flush=True)
        await asyncio.sleep(30)

asyncio.run(serve(Path(sys.argv[1])))
"""


def identity(folder: Path, uuid: str) -> HostIdentity:
    return HostIdentity(
        hypervisor_uuid=uuid, machine_id="machine", incarnation="boot-1", memory=LastingMemory(folder).mark()
    )


async def test_second_worker_of_a_hypervisor_is_refused_whatever_its_directory_is(tmp_path: Path) -> None:
    uuid = str(uuid4())
    first, second = (identity(tmp_path / each, uuid) for each in ("a", "b"))
    async with only_worker_there(first, folder=tmp_path / "a"):
        with pytest.raises(HostAlreadyServedError, match=uuid):
            async with only_worker_there(second, folder=tmp_path / "b"):
                raise AssertionError("two workers serve one hypervisor")
        async with only_worker_there(identity(tmp_path / "b", str(uuid4())), folder=tmp_path / "b"):
            pass
    async with only_worker_there(second, folder=tmp_path / "b"):
        pass


def test_worker_whose_directory_is_wiped_ends_itself(tmp_path: Path) -> None:
    folder = tmp_path / "host"
    worker = subprocess.Popen(
        [sys.executable, "-c", WIPED, str(folder), str(uuid4())], stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout is not None and worker.stdout.readline() == "serving\n"
        shutil.rmtree(folder)
        assert worker.wait(10) == EXIT_CODE
    finally:
        worker.kill()
