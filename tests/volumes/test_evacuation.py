"""Whole programs: the storage service, and an evacuation whose only evidence is that disks were taken away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from evacuation import messages as m
from services.cloud.nbd import Layout
from services.sql import open_services
from tests.benchmarks.processes import Processes, processes
from tests.support.stack import Stack, temporal_server
from tests.volumes.client import Client, first_byte, names
from tests.volumes.conftest import require_programs
from tests.volumes.ground import FLEET, free_address

PATIENCE = 40.0
EVACUATE = str(Path(sys.executable).parent / "evacuate")


class Site:
    """Temporal, a control worker, the storage service, and three simulated hosts. No power can be cut."""

    def __init__(self, directory: Path, temporal: str, started: Processes) -> None:
        self.directory = directory
        self.layout = Layout.of(directory / "nbd", free_address())
        self.environment = {
            "EVACUATE_STATE_DIR": str(directory),
            "EVACUATE_TEMPORAL_ADDRESS": temporal,
            "EVACUATE_HYPERVISOR": "simulated",
            "EVACUATE_FENCING": "operator",
            "EVACUATE_FENCING_POLICY": "1 of storage",
            "EVACUATE_VOLUMES": "nbd",
            "EVACUATE_NBD_ADDRESS": f"{self.layout.host}:{self.layout.port}",
            "EVACUATE_NBD_CREATE": "true",
            "EVACUATE_TIME_SCALE": "0.3",
        }
        self._started = started

    def start(self) -> None:
        fleet = self.directory / "fleet.yaml"
        fleet.write_text(yaml.safe_dump(FLEET.model_dump(mode="json", exclude_defaults=True)))
        assert self.run("store", "migrate").returncode == 0
        assert self.run("fleet", "load", str(fleet)).returncode == 0
        self.worker("storage")
        self.worker("control")
        for host in FLEET.hosts:
            self.worker("host", "--host", host.name)
        until(lambda: {each["state"] for each in self.read("host", "list")} == {"up"})
        until(lambda: len(self.exported()) == 3)

    def worker(self, *arguments: str) -> None:
        self._started.start_python(arguments[-1], ["worker.py", *arguments], self.environment)

    def pid_of(self, role: str) -> int:
        return self._started.pid_of(role)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | self.environment
        return subprocess.run([EVACUATE, *words], env=environment, capture_output=True, text=True, timeout=PATIENCE)

    def read(self, *words: str) -> list[dict[str, object]]:
        return json.loads(self.run(*words, "--json").stdout)

    def exported(self) -> set[str]:
        return names(m.VolumeTarget(host=self.layout.host, port=self.layout.port))

    def attachment(self, volume: str) -> dict[str, str]:
        view = next(each for each in self.read("volume", "list") if each["name"] == volume)
        return {"volume": view["id"], **view["attachments"][0]}  # type: ignore[index]  # JSON


@pytest.fixture
def site() -> Iterator[Site]:
    require_programs()
    with TemporaryDirectory(prefix="evacuate-nbd-") as name:
        directory = Path(name)
        with temporal_server(directory) as temporal, processes(directory / "worker-logs") as started:
            made = Site(directory, temporal, started)
            try:
                made.start()
                yield made
            finally:
                if made.layout.pid_file.exists():
                    os.kill(int(made.layout.pid_file.read_text()), signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.1)


@pytest.mark.timeout(150)
def test_instance_is_recovered_by_storage_evidence_from_a_host_that_nobody_can_switch_off(site: Site) -> None:
    before = site.attachment("root-1")
    source = Client(site.layout.target(before["id"]), site.directory / "source.log")
    assert source.write(0x11) is None
    os.kill(site.pid_of("cmp-1"), signal.SIGSTOP)

    done = site.run("instance", "evacuate", "web-01", "--json")
    assert done.returncode == 0, done.stderr
    after = site.attachment("root-1")
    assert after["host"] == json.loads(done.stdout)["destination"] != "cmp-1"
    assert source.write(0x66), "the guest on the source can write nothing any more"
    assert first_byte(site.layout.image(before["volume"])) == 0x11
    destination = Client(site.layout.target(after["id"]), site.directory / "destination.log")
    assert destination.write(0x22) is None
    assert site.attachment("root-2")["host"] == "cmp-1", "the others on the source keep theirs"
    assert site.run("check").returncode == 0

    services = open_services(f"sqlite:///{site.directory / 'state.db'}")
    proofs = [each.proof for each in services.views.residences() if each.instance == "web-01" and each.proof]
    services.close()
    assert proofs[-1].startswith("storage-revoked")
    for client in (source, destination):
        client.close()


@pytest.mark.timeout(150)
def test_daemon_outlives_its_service_and_a_new_service_finds_it(site: Site) -> None:
    daemon = int(site.layout.pid_file.read_text())
    client = Client(site.layout.target(site.attachment("root-1")["id"]), site.directory / "guest.log")
    os.kill(site.pid_of("storage"), signal.SIGKILL)
    assert client.write(0x11) is None
    site.worker("storage")
    os.kill(daemon, signal.SIGKILL)
    until(lambda: site.layout.pid_file.read_text().strip() != str(daemon) and len(site.exported()) == 3)
    second = subprocess.run(
        [sys.executable, "worker.py", "storage"],
        env=os.environ | site.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert second.returncode == 2 and "a storage service runs" in second.stderr
    client.close()


@pytest.mark.timeout(150)
def test_embedded_stack_brings_the_storage_service_up_and_leaves_nothing_of_it() -> None:
    require_programs()
    with TemporaryDirectory(prefix="evacuate-nbd-") as name, temporal_server(Path(name)) as temporal:
        address = free_address()
        host, _, port = address.rpartition(":")
        settings = {"EVACUATE_VOLUMES": "nbd", "EVACUATE_NBD_ADDRESS": address, "EVACUATE_NBD_CREATE": "true"}
        stack = Stack(Path(name), temporal, settings=settings | {"EVACUATE_NBD_DIR": f"{name}/nbd"})
        anybody = m.VolumeTarget(host=host, port=int(port))
        try:
            stack.up(FLEET.model_dump(mode="json", exclude_defaults=True), [])
            until(lambda: len(names(anybody)) == 3)
        finally:
            stack.down()
        assert names(anybody) == set()
