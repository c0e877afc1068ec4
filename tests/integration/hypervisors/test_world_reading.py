"""What `check` reads of the hosts, without a stack: nothing of it is written."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from control.check import check, gather
from evacuation.ledger import LedgerMark, Witness
from services.hypervisors.ledger import HostLedger
from services.runtime.settings import Settings
from services.sql import SqlServices, migrate, open_services
from tests.integration.hypervisors.worlds import ProcessWorld, spawn, spec
from tests.integration.sql.world import World


class Restored:
    """web-01 was evacuated from cmp-1 to cmp-2 and runs there; the store is put back as it was before."""

    def __init__(self, processes: ProcessWorld, services: SqlServices, settings: Settings) -> None:
        self.processes, self.services, self.settings = processes, services, settings
        world = World(services)
        self.boot = processes.host("cmp-2").incarnation()
        for host in ("cmp-1", "cmp-2"):
            world.bring_up(host, processes.host(host).incarnation())
        before = self._file.with_name("before.db")
        self._copy(self._file, before)
        world.fence("cmp-1", processes.host("cmp-1").incarnation())
        evacuation = world.evacuation()
        evacuation.begin()
        evacuation.claim(target="cmp-2")
        mark = services.ledger.to_be_asked()[1]
        HostLedger(processes.root.host("cmp-2").ledger).note(mark)
        self.seen = Witness(who="cmp-2", mark=LedgerMark(**dict(mark)))
        id = world.id_of("web-01")
        processes.root.make_disks([each.id for each in services.views.instances()])
        spawn(processes.hypervisor("cmp-2"), spec(2, instance_id=id))
        self._copy(before, self._file)

    @property
    def _file(self) -> Path:
        return Path(self.settings.store_url.removeprefix("sqlite:///"))

    @staticmethod
    def _copy(source: Path, to: Path) -> None:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(to)) as copy:
            live.backup(copy)


@pytest.fixture
def restored(processes: ProcessWorld, tmp_path: Path) -> Iterator[Restored]:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    migrate(url)
    services = open_services(url)
    yield Restored(processes, services, Settings(state_dir=tmp_path))
    services.close()


def test_check_tells_a_store_that_was_put_back_and_ends_nothing_by_it(restored: Restored) -> None:
    found = check(restored.settings, restored.services).breaches
    assert {"store-behind", "not-allowed"} <= {each.rule for each in found}
    assert all("evacuate store reconcile" in each.remedy for each in found)
    (behind,) = (each for each in found if each.rule == "store-behind")
    assert "older than what cmp-2 has seen of it" in behind.message
    assert restored.services.ledger.show().doubt is None


def test_host_that_the_store_does_not_know_is_no_witness(restored: Restored) -> None:
    restored.processes.root.host("cmp-9").power.parent.mkdir()
    HostLedger(restored.processes.root.host("cmp-9").ledger).note(LedgerMark(ledger="another", position=1))
    restored.processes.host("cmp-9").power_on()
    assert gather(restored.settings, restored.services)[0].witnesses == (restored.seen,)


def test_check_says_which_mark_it_could_not_read(restored: Restored) -> None:
    restored.processes.root.host("cmp-2").ledger.write_text("{")
    world, missing = gather(restored.settings, restored.services)
    assert world.witnesses == ()
    assert [each for each in missing if each.startswith("what cmp-2 has seen of the store: ")]


def test_what_is_seen_of_the_store_while_it_is_read_is_no_sign(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marks are read first: a host that hears of the next transaction meanwhile is not taken for a witness."""
    restored.processes.root.host("cmp-2").ledger.unlink()
    read = restored.services.views.everything

    def slowly() -> object:
        rows = read()
        HostLedger(restored.processes.root.host("cmp-2").ledger).note(restored.seen.mark)
        return rows

    monkeypatch.setattr(restored.services.views, "everything", slowly)
    assert gather(restored.settings, restored.services)[0].why_behind is None
