"""A fence that lies: it says "off" while the source lives."""

import os
import signal
import time
from typing import Any

import pytest

from tests.chaos.sabotages import environment
from tests.support.stack import Stack


def fleet(disk_lock: bool) -> dict[str, Any]:
    flavor = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}
    return {
        "disk_lock": disk_lock,
        "hosts": [{"name": f"cmp-{n}", "vcpus": 4, "memory_mb": 4096, "disk_gb": 40} for n in (1, 2)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
        "instances": [{"name": "web-01", "host": "cmp-1", "flavor": flavor, "ports": [{"network": "lan"}]}],
    }


@pytest.fixture
def lied_to(stack: Any) -> Any:
    """The source's worker is silent, its guest goes on, and the fence says that it is off."""

    def start(disk_lock: bool) -> Stack:
        running = stack(fleet(disk_lock), settings=environment("lying-fence"))
        os.kill(running.worker("cmp-1"), signal.SIGSTOP)
        return running

    return start


def guests(stack: Stack) -> list[str]:
    return sorted(guest.host for guest in stack.world().guests)


def test_lying_fence_is_survived_when_disks_are_locked(lied_to):
    stack = lied_to(disk_lock=True)
    answer = stack.run("instance evacuate web-01 --json")
    assert (answer.code, answer.json["error_type"]) == (1, "DiskLockedError")
    assert "fence it" in answer.json["reason"]
    assert guests(stack) == ["cmp-1"]
    assert not any(disk.interleaved or disk.lost for disk in stack.world().disks)


def test_lying_fence_is_named_by_check_at_once_when_disks_are_not_locked(lied_to):
    stack = lied_to(disk_lock=False)
    assert stack.run("instance evacuate web-01 --json").json["outcome"] == "recovered"
    since = time.monotonic()
    breaches = stack.run("check --json").json
    print(f"named after {time.monotonic() - since:.2f} s")
    assert {(breach["invariant"], breach["subject"]) for breach in breaches} >= {("I1", "web-01"), ("I2", "cmp-1")}
    assert guests(stack) == ["cmp-1", "cmp-2"]
