"""The demonstration's fleet, and its proof: read from the disks, where every guest writes who it is."""

from pathlib import Path

from evacuation.fleet import Fleet
from evacuation.model import Frozen
from services.hypervisors.process import ProcessRoot
from services.hypervisors.process.disk import Run, breaches, read_journal, runs


def make_fleet(hosts: int, instances: int) -> Fleet:
    """Instances in turn over the hosts; any host can take them all. Every third one has a volume."""
    names = [f"vm-{number:02d}" for number in range(1, instances + 1)]
    with_volume = names[::3]
    return Fleet.model_validate(
        {
            "hosts": [_host(number, instances) for number in range(1, hosts + 1)],
            "networks": [{"name": "lan", "cidr": "10.0.0.0/16"}],
            "volumes": [{"name": f"{name}-data", "size_gb": 10} for name in with_volume],
            "instances": [
                {
                    "name": name,
                    "host": f"cmp-{number % hosts + 1}",
                    "flavor": {"vcpus": 1, "memory_mb": 512, "disk_gb": 5},
                    "ports": [{"network": "lan"}],
                    "volumes": [f"{name}-data"] if name in with_volume else [],
                    "priority": number % 5 + 1,
                }
                for number, name in enumerate(names)
            ],
        }
    )


def _host(number: int, instances: int) -> dict[str, object]:
    return {
        "name": f"cmp-{number}",
        "vcpus": max(8, instances),
        "memory_mb": 512 * max(16, instances),
        "disk_gb": 5 * max(20, instances),
    }


class Proof(Frozen):
    """What one disk says. `last_before` and `first_after` are counters: the second follows the first."""

    instance: str
    ran_on: tuple[str, ...]
    last_before: int | None
    first_after: int | None
    two_copies: bool
    went_on: bool


def prove(state_dir: Path, instance_id: str, name: str, *, dead: str, now_on: str | None) -> Proof:
    records = read_journal(ProcessRoot(state_dir).disk(instance_id))
    all_runs = runs(records)
    before, after = _last_of(all_runs, dead), _first_of(all_runs, now_on)
    return Proof(
        instance=name,
        ran_on=tuple(run.host for run in all_runs),
        last_before=before,
        first_after=after,
        two_copies=bool(breaches(records)),
        went_on=before is not None and after == before + 1,
    )


def _last_of(all_runs: list[Run], host: str) -> int | None:
    return next((run.last.counter for run in reversed(all_runs) if run.host == host), None)


def _first_of(all_runs: list[Run], host: str | None) -> int | None:
    last = all_runs[-1] if all_runs else None
    return last.first.counter if last and last.host == host else None
