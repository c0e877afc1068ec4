import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

import services.sql
from evacuation.errors import StoreSchemaError, StoreUnavailableError
from evacuation.fleet import Fleet
from services.sql import migrate, open_services
from services.sql.database import connect_database
from services.sql.schema import REVISIONS
from services.sql.tables import Row
from tests.integration.sql.world import World, host, instance, small_fleet
from tests.support.postgres import fresh_database


@pytest.fixture
def url(empty_url: str) -> str:
    """A store of this test's own, whose schema it may change."""
    migrate(empty_url)
    return empty_url


def test_migration_makes_the_schema_of_the_tables_from_an_empty_database(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Row.metadata) == []
    engine.dispose()


def test_migration_changes_nothing_when_it_runs_again(url: str) -> None:
    migrate(url)
    open_services(url).close()


def _go_back_to(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(services.sql.__file__).parent / "migrations"))
    database = connect_database(url)

    def go_back(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    database.run(go_back)
    database.close()


def test_migration_keeps_every_row_when_it_comes_from_the_first_schema(url: str) -> None:
    opened = open_services(url)
    opened.fleet.load(small_fleet())
    before = (opened.views.ports(), opened.views.instances(), opened.views.hosts())
    opened.close()
    _go_back_to(url, "0001")
    with pytest.raises(StoreSchemaError, match="older"):
        open_services(url)
    migrate(url)
    opened = open_services(url)
    assert (opened.views.ports(), opened.views.instances(), opened.views.hosts()) == before
    assert all(port.host == "cmp-1" for port in opened.views.ports())
    opened.close()


def test_migration_takes_from_allocations_the_disks_that_no_host_stores(url: str) -> None:
    """Those of instances and of migrations, and back again."""
    opened = open_services(url)
    fleet = {
        "hosts": [host("cmp-1"), host("cmp-2")],
        "instances": [instance("local", root_disk="local"), instance("shared"), instance("moving")],
    }
    world = World(opened, Fleet.model_validate(fleet))
    moving = world.evacuation("moving")
    moving.begin()
    moving.claim()
    after = opened.views.allocations()
    opened.close()
    _go_back_to(url, "0002")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT disk_gb FROM allocation")).scalars().all() == [1, 1, 1, 1]
    engine.dispose()
    migrate(url)
    opened = open_services(url)
    assert opened.views.allocations() == after
    assert sorted(each.disk_gb for each in after) == [0, 0, 0, 1]
    opened.close()


def test_migrations_at_once_all_succeed(empty_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(migrate, [empty_url] * 8))
    open_services(empty_url).close()


def test_known_revisions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(services.sql.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert tuple(reversed([each.revision for each in script.walk_revisions()])) == REVISIONS


@pytest.mark.parametrize(("revision", "remedy"), [("9999", "upgrade this release"), (None, "evacuate store migrate")])
def test_opening_names_the_remedy_when_the_schema_is_another_releases(
    url: str, revision: str | None, remedy: str
) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        if revision:
            connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
    engine.dispose()
    with pytest.raises(StoreSchemaError) as refused:
        open_services(url)
    assert remedy in refused.value.remedy


def test_migration_refuses_when_the_schema_is_newer(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreSchemaError, match="newer"):
        migrate(url)


def test_opening_creates_nothing_when_there_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"
    with pytest.raises(StoreUnavailableError, match="no store"):
        open_services(f"sqlite:///{path}")
    assert not path.exists()


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:1/none", "nonsense", "oracle9://x"])
def test_opening_is_unavailable_when_nothing_answers(url: str) -> None:
    with pytest.raises(StoreUnavailableError):
        open_services(url)


@pytest.mark.parametrize(
    "url",
    ["garbage", "mysql://u:secret@h/x", "sqlite://", "sqlite:///", "sqlite+pysqlite:///x.db", "postgres://", "://", ""],
)
def test_url_that_is_no_stores_is_refused_with_the_form_of_one(url: str) -> None:
    for call in (open_services, migrate):
        with pytest.raises(StoreUnavailableError, match="is not understood") as refused:
            call(url)
        assert "postgresql+psycopg://" in refused.value.remedy
        assert "secret" not in refused.value.line


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_postgresql_is_known_by_the_names_that_it_has_elsewhere(postgres: str, scheme: str) -> None:
    with fresh_database(postgres) as url:
        other = f"{scheme}://{url.partition('://')[2]}"
        migrate(other)
        open_services(other).close()


def test_opening_is_unavailable_when_the_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is not a database, and never was one\n" * 50)
    with pytest.raises(StoreUnavailableError):
        open_services(f"sqlite:///{path}")


def test_importing_the_services_does_not_import_alembic() -> None:
    code = "import sys, services.sql; print([m for m in sys.modules if m.startswith('alembic')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(out.stdout) == []
