"""What runs on the process hosts whose directories are on this machine: the process table, the disks, the hosts' own
memory."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from evacuation.errors import HypervisorUnavailableError
from evacuation.invariants import Rows, SeenDisk, SeenGuest
from evacuation.ledger import Witness
from evacuation.model import VmState
from evacuation.observing import Sight
from services.hypervisors.ledger import HostLedger
from services.hypervisors.process import ProcessHost, ProcessRoot
from services.hypervisors.process.disk import Record, discontinued, interleaved, read_journal
from services.hypervisors.process.making import why_unusable
from services.hypervisors.process.table import guests_of


class ProcessObserver:
    """The port `Observer`."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._root = ProcessRoot(state_dir)

    def look(self, read: Callable[[], Rows]) -> tuple[Rows, Sight]:
        witnesses, missing = self._witnesses()
        rows = read()
        hosts = [host for row in rows.hosts if (host := ProcessHost(self._state_dir, row.name)).exists()]
        powers = {host.host: host.power() for host in hosts}
        return rows, Sight(
            guests=tuple(guest for host in hosts for guest in self._guests(host)),
            disks=tuple(self._disks(rows)) if hosts else (),
            boots={host.host: None if host.is_marked_off() else powers[host.host].incarnation for host in hosts},
            identities={host: power.hypervisor_uuid for host, power in powers.items()},
            witnesses=tuple(each for each in witnesses if each.who in powers),
            missing=missing,
        )

    def _witnesses(self) -> tuple[list[Witness], tuple[str, ...]]:
        """What the hosts' workers have written down of the ledger, and whose could not be read."""
        found: list[Witness] = []
        missing: list[str] = []
        for host in self._root.hosts():
            try:
                mark = HostLedger(self._root.host(host).ledger).known()
            except HypervisorUnavailableError as error:
                missing.append(f"what {host} has seen of the store: {error.message}")
            else:
                found += [Witness(who=host, mark=mark)] if mark is not None else []
        return found, tuple(missing)

    def _guests(self, host: ProcessHost) -> Iterable[SeenGuest]:
        incarnation = host.incarnation()
        for found in guests_of(self._root, host.host):
            if _only_starts(found.process.pid):
                continue
            yield SeenGuest(
                host=host.host,
                incarnation=incarnation,
                instance_id=found.instance_id,
                epoch=found.epoch,
                pid=found.process.pid,
                writes=not found.is_paused(),
            )

    def _disks(self, rows: Rows) -> Iterable[SeenDisk]:
        """Of every instance; of one that is deleted, only what is left of it."""
        for row in rows.instances:
            path = self._root.disk(row.id)
            missing = why_unusable(path, row.id)
            if missing is None:
                yield _journal(row.id, read_journal(path))
            elif row.vm_state != VmState.DELETED:
                yield SeenDisk(instance_id=row.id, exists=False, missing=missing)


def _only_starts(pid: int) -> bool:
    """A guest leads no session: who does is about to start one, or is gone, and never writes."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return True


def _journal(instance_id: str, records: list[Record]) -> SeenDisk:
    return SeenDisk(
        instance_id=instance_id,
        exists=True,
        begins=(records[0].counter, records[0].epoch) if records else None,
        interleaved=tuple(interleaved(records)),
        lost=tuple(discontinued(records)),
    )
