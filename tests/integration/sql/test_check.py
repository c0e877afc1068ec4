"""Every column of every table, edited once: `check` names it, or the edit does no harm, and here is why."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import Connection, Engine, PrimaryKeyConstraint, UniqueConstraint, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session

from evacuation import invariants as i
from evacuation.fleet import Fleet
from evacuation.invariants import Breach, SeenGuest, find_breaches
from evacuation.messages import FenceRequest
from evacuation.model import PowerReading
from services.sql import SqlServices
from services.sql.ledger.cutting import begin_cut
from services.sql.read import picture
from services.sql.tables import Row, SightingRow
from tests.integration.sql.world import World, evidence, host, instance

BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
LAN = [{"network": "lan"}]
FLEET = Fleet.model_validate(
    {
        "hosts": [host(f"cmp-{n}") for n in (1, 2, 3, 4)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}, {"name": "dmz", "cidr": "10.9.0.0/24"}],
        "volumes": [{"name": name, "size_gb": 1} for name in ("back-data", "lost-data", "home-data", "free")],
        "server_groups": [{"name": "pair", "policy": "affinity"}, {"name": "other", "policy": "soft-affinity"}],
        "instances": [
            instance("back", "cmp-1", ports=LAN, volumes=["back-data"]),
            instance("lost", "cmp-1", volumes=["lost-data"]),
            instance("away", "cmp-1", ports=LAN),
            instance("begun", "cmp-1"),
            instance("gone", "cmp-1"),
            instance("home", "cmp-3", ports=LAN, volumes=["home-data"], root_disk="local"),
            instance("cold", "cmp-3", vm_state="stopped"),
            instance("pair-a", "cmp-3", server_group="pair"),
            instance("pair-b", "cmp-3", server_group="pair"),
        ],
    }
)
"""cmp-1 is dead, and fenced. back was evacuated to cmp-2, lost was not recovered, away is authorised on cmp-2 and begun
is not yet; gone is deleted. cmp-3 was fenced once, and is back; cmp-4 is being cut."""


@pytest.fixture
def world(services: SqlServices) -> World:
    found = World(services, FLEET)
    services.evidence.record_evidence(evidence("cmp-3", "boot-1", "operator"))
    found.bring_up("cmp-3")
    services.evidence.open_fence(FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=found.id_of("back")))
    being_cut = FenceRequest(host="cmp-4", incarnation="boot-1", instance_id=found.id_of("back"))
    services.database.write(begin_cut, being_cut, "somebody", datetime.now(UTC) + timedelta(hours=1))
    services.evidence.record_evidence(evidence("cmp-1").model_copy(update={"at": BEFORE}))
    services.evidence.record_reading("cmp-1", PowerReading.OFF, datetime.now(UTC))
    found.evacuation("back", "ev-back").recover()
    lost = found.evacuation("lost", "ev-lost")
    lost.begin()
    lost.to_authorized()
    lost.guest_gone()
    lost.tear_down()
    lost.abandon(error=True)
    away = found.evacuation("away", "ev-away")
    away.begin()
    away.to_authorized()
    begun = found.evacuation("begun", "ev-begun")
    begun.begin()
    begun.claim()
    services.hosts.record_deleted(None, found.id_of("gone"))
    services.database.write(_see_in_the_boot_before, found.id_of("home"))
    return found


def _see_in_the_boot_before(session: Session, instance_id: str) -> None:
    session.add(SightingRow(instance_id=instance_id, host="cmp-2", incarnation="boot-0", epoch=1, state="running"))


class Edit(NamedTuple):
    """`to`: an SQL expression, on the rows that `where` says. `rule` names it; or it does no harm, `because`."""

    to: str
    where: str = "1 = 1"
    rule: str | None = None
    because: str = ""


def of(name: str) -> str:
    return f"instance_id = (SELECT id FROM instance WHERE name = '{name}')"


def named(rule: str, to: str, where: str = "1 = 1") -> Edit:
    return Edit(to, where, rule=rule)


def harmless(because: str, to: str, where: str = "1 = 1") -> Edit:
    return Edit(to, where, because=because)


def orphans(where: str = "1 = 1") -> Edit:
    return named("refers-to-nothing", "'nowhere'", where)


ORDER = "in lists only: rows are shown in the order of it"
HISTORY = "what happened; nothing decides by it"
WISH = "for the next placement or order only: it says nothing of what is"
NEXT_REPORT = "the host's next report writes it again"
KEY = "a number that nothing refers to"
PORTS_OF = "port_id IN (SELECT id FROM port WHERE " + of("home") + ")"
BACK, LOST, AWAY, HOME = (of(name) for name in ("back", "lost", "away", "home"))
THEN = "'2001-01-01 00:00:00+00:00'"
CMP_3 = '\'{"host": "cmp-3", "incarnation": ""}\''

ANOTHER_STORE = "to its hosts it is another store: nothing is started until it is reconciled"
SEEN = """'{"who": "cmp-3", "mark": {"ledger": "another", "position": 7, "replaces": []}}'"""

STRANGER = """'{"hypervisor_uuid": "uuid-9", "machine_id": "machine", "incarnation": "boot-9", "who": "jo",
"said": "gone", "why": "no", "refused_at": "2001-01-01T00:00:00Z", "said_at": "2001-01-01T00:00:00Z",
"seen_at": "2001-01-01T00:00:00Z"}'"""

EDITS: dict[str, Edit] = {
    "loaded_fleet.id": named("turn-gone", "2"),
    "loaded_fleet.fleet": harmless("what was loaded once: only the same load again is compared with it", "fleet"),
    "loaded_fleet.loaded_at": harmless(HISTORY, THEN),
    "host.name": named("refers-to-nothing", "'cmp-9'", "name = 'cmp-3'"),
    "host.position": harmless(ORDER, "9"),
    "host.vcpus": named("host-overfull", "0", "name = 'cmp-3'"),
    "host.memory_mb": named("host-overfull", "0", "name = 'cmp-3'"),
    "host.disk_gb": named("host-overfull", "0", "name = 'cmp-3'"),
    "host.cpu_allocation_ratio": named("host-overfull", "0", "name = 'cmp-3'"),
    "host.ram_allocation_ratio": named("host-overfull", "0", "name = 'cmp-3'"),
    "host.disk_allocation_ratio": named("host-overfull", "0", "name = 'cmp-3'"),
    "host.availability_zone": harmless(WISH, "'elsewhere'"),
    "host.traits": harmless(WISH, """'["fast"]'"""),
    "host.max_evacuations": named("over-cap", "0", "name = 'cmp-2'"),
    "host.enabled": harmless(WISH, "FALSE"),
    "host.state": named("fenced-and-up", "'up'", "name = 'cmp-1'"),
    "host.incarnation": named("of-another-boot", "'boot-9'", "name = 'cmp-3'"),
    "host.registered_at": harmless(HISTORY, THEN),
    "host.hypervisor_uuid": named("another-hypervisor", "'uuid-9'", "name = 'cmp-3'"),
    "host.machine_id": harmless("its next return is refused, and says who is known and who answers", "'another'"),
    "host.generation": harmless("a claim that read another one reads again", "9"),
    "host.vcpus_free": named("room-otherwise", "9", "name = 'cmp-3'"),
    "host.memory_mb_free": named("room-otherwise", "9", "name = 'cmp-3'"),
    "host.disk_gb_free": named("room-otherwise", "9", "name = 'cmp-3'"),
    "host.reported_uptime": harmless("the next boot begins again", "9"),
    "host.capabilities": harmless(NEXT_REPORT, "NULL"),
    "host.reported_at": harmless("the next boot begins again", THEN),
    "host.refused": harmless(
        "who accepts another board is asked about it, and says yes or no", STRANGER, "name = 'cmp-3'"
    ),
    "host.memory": harmless("a host that says another one is asked what runs there before it serves", "'another'"),
    "host.replaced": named("gone-and-seen", f"'[{STRANGER[1:-1]}]'", "name = 'cmp-3'"),
    "cut.host": orphans(),
    "cut.by": harmless("whose it is: the time that it has ends it", "'nobody'"),
    "cut.incarnation": harmless("for a cut that fails: what the host is then its own worker says", "'boot-9'"),
    "cut.until": harmless("what is over its time holds nobody", THEN),
    "cut.seen": harmless("who looks on is asked again before the next cut", "NULL"),
    "cut.was_up": harmless("for a cut that fails: what the host is then its own worker says", "FALSE"),
    "power_reading.host": orphans(),
    "power_reading.reading": harmless("only that it was read on counts, and that is never kept", "'unknown'"),
    "power_reading.at": harmless("one that is old is read again", THEN),
    "fence.host": orphans(),
    "fence.incarnation": harmless("it proves nothing: evidence alone does", "'boot-9'"),
    "fence.alarm": harmless("the next cut by that entry is looked on at again", "NULL"),
    "fence.who": harmless(HISTORY, "'nobody'"),
    "fence.opened_at": harmless(HISTORY, THEN),
    "evidence.cut": harmless("how its power was found off: it is proven off in either case", "TRUE"),
    "evidence.id": harmless(KEY, "id + 100"),
    "evidence.host": orphans(),
    "evidence.incarnation": harmless("evidence that is lost has to be had again; proofs stand", "'boot-9'", "id = 1"),
    "evidence.kind": harmless("evidence that is lost has to be had again; proofs stand", "'storage-revoked'"),
    "evidence.scope": harmless("of the whole host nothing else is asked", "'guest'"),
    "evidence.who": harmless(HISTORY, "'nobody'"),
    "evidence.reason": harmless(HISTORY, "'none'"),
    "evidence.at": harmless("of current evidence; what is older is read again", THEN),
    "evidence.voided_at": named("fenced-and-up", "NULL", "host = 'cmp-3'"),
    "evidence.voided_why": harmless(HISTORY, "'none'"),
    "network.name": orphans("name = 'lan'"),
    "network.position": harmless(ORDER, "9"),
    "network.cidr": named("address-elsewhere", "'10.1.0.0/24'", "name = 'lan'"),
    "server_group.name": orphans("name = 'pair'"),
    "server_group.position": harmless(ORDER, "9"),
    "server_group.policy": named("policy-broken", "'anti-affinity'", "name = 'pair'"),
    "instance.id": orphans("name = 'home'"),
    "instance.name": harmless("a label: everything is held by its id", "'renamed'", "name = 'home'"),
    "instance.position": harmless(ORDER, "99"),
    "instance.project": harmless(WISH, "'acme'"),
    "instance.priority": harmless(WISH, "5"),
    "instance.evacuate": harmless(WISH, "FALSE"),
    "instance.host": named("lives-elsewhere", "'cmp-2'", "name = 'home'"),
    "instance.vm_state": named("error-without-fault", "'error'", "name = 'home'"),
    "instance.task_state": named("task-unowned", "'rebuilding'", "name = 'home'"),
    "instance.power_state": named("power-otherwise", "'shutdown'", "name = 'home'"),
    "instance.wanted_vm_state": named("error-without-way-back", "NULL", "name = 'lost'"),
    "instance.fault": named("error-without-fault", "NULL", "name = 'lost'"),
    "instance.root_disk": named("allocated-otherwise", "'shared'", "name = 'home'"),
    "instance.vcpus": named("allocated-otherwise", "2", "name = 'home'"),
    "instance.memory_mb": named("allocated-otherwise", "2", "name = 'home'"),
    "instance.disk_gb": named("allocated-otherwise", "2", "name = 'home'"),
    "instance.server_group": orphans("name = 'home'"),
    "instance.availability_zone": harmless(WISH, "'elsewhere'"),
    "instance.traits": harmless(WISH, """'["fast"]'"""),
    "instance.last_evacuation_id": named("last-otherwise", "NULL", "name = 'back'"),
    "instance.last_epoch": named("epoch-below", "0", "name = 'home'"),
    "instance.deleting": named("deletion-unowned", "TRUE", "name = 'home'"),
    "instance.definition": harmless(NEXT_REPORT, "'<domain/>'"),
    "instance.guest_signal": harmless(NEXT_REPORT, "'none'"),
    "residence.instance_id": orphans(HOME),
    "residence.epoch": named("not-allowed", "7", HOME),
    "residence.host": named("lives-elsewhere", "'cmp-2'", HOME),
    "residence.incarnation": named("of-another-boot", "'boot-9'", HOME),
    "residence.proof": named(
        "nowhere", f"(SELECT proof FROM residence WHERE {BACK} AND proof IS NOT NULL)", of("cold")
    ),
    "residence.evacuation_id": named("start-without-residence", "NULL", AWAY + " AND epoch = 2"),
    "residence.attempt": named("start-without-residence", "7", AWAY + " AND epoch = 2"),
    "residence.started_at": harmless("what a disk begins with is compared with what is left", "NULL"),
    "residence.moved_from": harmless(HISTORY, "NULL"),
    "sighting.instance_id": orphans(),
    "sighting.host": orphans(),
    "sighting.incarnation": harmless("a host that answers is asked before anything is refused for it", "'boot-1'"),
    "sighting.epoch": harmless(NEXT_REPORT, "9"),
    "sighting.state": harmless(NEXT_REPORT, "'paused'"),
    "sighting.seen_at": harmless(HISTORY, THEN),
    "residence.created_at": harmless(ORDER, THEN),
    "allocation.id": harmless(KEY, "id + 100"),
    "allocation.consumer_id": named("allocated-for-nobody", "'nobody'", "host = 'cmp-3' AND disk_gb = 1"),
    "allocation.host": named("allocated-elsewhere", "'cmp-2'", "host = 'cmp-3' AND disk_gb = 1"),
    "allocation.vcpus": named("allocated-otherwise", "2", "host = 'cmp-3' AND disk_gb = 1"),
    "allocation.memory_mb": named("allocated-otherwise", "2", "host = 'cmp-3' AND disk_gb = 1"),
    "allocation.disk_gb": named("allocated-otherwise", "2", "host = 'cmp-3' AND disk_gb = 1"),
    "port.id": orphans(HOME),
    "port.position": harmless(ORDER, "99"),
    "port.instance_id": orphans(HOME),
    "port.network": named("address-elsewhere", "'dmz'", HOME),
    "port.mac": harmless("a label here: what the guest has is in its definition", "'fa:16:3e:99:99:99'", HOME),
    "port.ip": named("address-elsewhere", "'10.1.0.9'", HOME),
    "port_binding.port_id": orphans(PORTS_OF),
    "port_binding.host": named("bound-elsewhere", "'cmp-2'", PORTS_OF),
    "port_binding.active": named("bound-elsewhere", "FALSE", PORTS_OF),
    "port_binding.status": named("bound-otherwise", "'DOWN'", PORTS_OF),
    "volume.id": named("mapped-to-nothing", "'another'", "name = 'home-data'"),
    "volume.name": harmless("a label: everything is held by its id", "'renamed'", "name = 'home-data'"),
    "volume.position": harmless(ORDER, "99"),
    "volume.size_gb": harmless("a label here: nothing is computed from it", "99"),
    "volume.status": named("volume-otherwise", "'available'", "name = 'home-data'"),
    "block_device.instance_id": orphans(HOME),
    "block_device.volume_id": named("mapped-to-nothing", "'another'", HOME),
    "block_device.device": harmless("the name that the guest sees; one of each for an instance", "'vdz'", HOME),
    "block_device.position": harmless(ORDER, "99"),
    "block_device.attachment_id": named("mapped-otherwise", "'another'", HOME),
    "block_device.source_connector": named("connector-left", CMP_3, HOME),
    "attachment.id": named("mapped-otherwise", "'another'", HOME),
    "attachment.name": harmless("it makes a reservation repeatable, while that is made", "'another'", HOME),
    "attachment.volume_id": orphans(HOME),
    "attachment.instance_id": orphans(HOME),
    "attachment.position": harmless(ORDER, "99"),
    "attachment.status": named("attached-elsewhere", "'reserved'", HOME),
    "attachment.connector": named("attached-elsewhere", '\'{"host": "cmp-2", "incarnation": ""}\'', HOME),
    "evacuation.id": orphans(BACK),
    "evacuation.instance_id": orphans(BACK),
    "evacuation.owner": harmless("a call of another owner writes nothing; the next request adopts", "'x'", AWAY),
    "evacuation.attempt": named("attempt-lost", "7", AWAY),
    "evacuation.phase": named("start-without-residence", "'authorized'", of("begun")),
    "evacuation.request_id": harmless("of the answer to a request that is sent again", "'another'"),
    "evacuation.migration_id": named("migration-otherwise", "'another'", AWAY),
    "evacuation.source": named("records-differ", "'cmp-3'", AWAY),
    "evacuation.source_incarnation": harmless(HISTORY, "'boot-9'"),
    "evacuation.evidence": harmless("the proofs of the residences are what a start rests on", "NULL"),
    "evacuation.waits": harmless("only of one that has no claim is it asked", "TRUE", AWAY),
    "evacuation.yielded_to": harmless("only of one that has no claim is it asked", "'boot-9'", AWAY),
    "evacuation.vm_state_before": named("records-differ", "'stopped'", AWAY),
    "evacuation.task_state_before": harmless(HISTORY, "'rebooting'"),
    "evacuation.wanted": harmless("a request may ask for either", "'stopped'", AWAY),
    "evacuation.outcome": named("ended-unsaid", "NULL", BACK),
    "evacuation.started_at": harmless(HISTORY, THEN),
    "evacuation.closed_at": named("end-unwritten", "NULL", BACK),
    "attempt.evacuation_id": orphans(AWAY),
    "attempt.number": named("attempt-lost", "7", AWAY),
    "attempt.instance_id": orphans(AWAY),
    "attempt.host": named("records-differ", "'cmp-3'", AWAY),
    "attempt.incarnation": harmless("a host that has booted since is refused at the authorisation", "'boot-9'"),
    "attempt.hypervisor_uuid": harmless("a host that is another one refuses the call", "'another'"),
    "attempt.epoch": named("epoch-below", "9", AWAY),
    "attempt.lost": harmless("whose start cost a destination its worker: another one may be tried", "NULL"),
    "attempt.claimed_at": harmless(HISTORY, THEN),
    "migration.id": named("migration-otherwise", "'another'", AWAY),
    "migration.evacuation_id": orphans(AWAY),
    "migration.instance_id": orphans(AWAY),
    "migration.type": harmless("a label", "'another'"),
    "migration.status": named("completed-unseen", "'completed'", BACK),
    "migration.source": named("records-differ", "'cmp-3'", AWAY),
    "migration.source_epoch": named("migration-without-residence", "9", BACK),
    "migration.destination": named("records-differ", "'cmp-3'", AWAY),
    "migration.created_at": harmless(HISTORY, THEN),
    "migration.updated_at": harmless(HISTORY, THEN),
    "action.evacuation_id": orphans(BACK),
    "action.instance_id": orphans(BACK),
    "action.action": harmless(HISTORY, "'another'"),
    "action.request_id": harmless(HISTORY, "'another'"),
    "action.started_at": harmless(HISTORY, THEN),
    "action.finished_at": named("end-unwritten", "NULL", BACK),
    "action_event.id": harmless(KEY, "id + 100"),
    "action_event.evacuation_id": orphans("id = 1"),
    "action_event.attempt": harmless(HISTORY, "7"),
    "action_event.name": harmless(HISTORY, "'another'", "id = 1"),
    "action_event.host": harmless(HISTORY, "'another'"),
    "action_event.result": harmless(HISTORY, "'error'"),
    "action_event.started_at": harmless(HISTORY, THEN),
    "action_event.finished_at": harmless(HISTORY, THEN),
    "action_event.details": harmless(HISTORY, "'another'"),
    "ledger.id": harmless(ANOTHER_STORE, "2"),
    "ledger.ledger": harmless(ANOTHER_STORE, "'another'"),
    "ledger.position": harmless("one that is set back is told by who has seen it; one that is ahead says nothing", "7"),
    "ledger.owner": harmless("its own control workers are refused until it is claimed", "'another'"),
    "ledger.owned_at": harmless(HISTORY, THEN),
    "ledger.replaces": harmless("who goes by a store that it has replaced is a sign again", "'[]'"),
    "ledger.unasked": harmless("such a host is only registered, as any other one", "'[]'"),
    "ledger.doubt": named("store-behind", SEEN),
}
COLUMNS = {f"{table.name}.{column.name}" for table in Row.metadata.tables.values() for column in table.columns}


def test_every_column_is_named_or_harmless_and_this_says_which():
    """A column that is new here: would `check` name it, if somebody set it to something else? By which rule, or why
    does it do no harm? Say so in EDITS."""
    assert set(EDITS) == COLUMNS


def _as_any_program(connection: sqlite3.Connection, _: object) -> None:
    """One that opens the file without more ado: what refers to nothing is not kept out."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=OFF")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = create_engine(url)
    if opened.dialect.name == "sqlite":
        event.listen(opened, "connect", _as_any_program)
        event.listen(opened, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    yield opened
    opened.dispose()


@contextmanager
def edited(engine: Engine, *statements: str) -> Iterator[Connection]:
    """In one transaction, which is taken back."""
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
        yield connection
        connection.rollback()


def look(connection: Connection, before: i.Rows | None = None) -> i.World:
    """What `check` sees, with the guests that were there before the edit."""
    rows = picture.everything(Session(connection))
    known = before or rows
    boots = {row.name: row.incarnation if row.state == "up" else None for row in known.hosts}
    return i.World(
        rows=rows,
        guests=tuple(_guests(known, boots)),
        boots=boots,
        identities={row.name: row.hypervisor_uuid or "" for row in known.hosts},
        running_workflows=frozenset(row.instance_id for row in known.evacuations if row.open),
        returning=frozenset(),
    )


def _guests(rows: i.Rows, boots: dict[str, str | None]) -> Iterator[SeenGuest]:
    active = {row.id for row in rows.instances if row.vm_state == "active"}
    for row in rows.residences:
        boot = boots[row.host]
        if row.proof is None and boot is not None and row.instance_id in active:
            yield SeenGuest(
                host=row.host, incarnation=boot, instance_id=row.instance_id, epoch=row.epoch, pid=1, writes=True
            )


@pytest.mark.timeout(180)
def test_check_names_what_is_edited_in_any_column_or_it_does_no_harm(world: World, engine: Engine):
    with edited(engine) as connection:
        sound = look(connection)
    assert find_breaches(sound) == ()
    alone = dict(EDITS) if _do_harm_together(engine, sound.rows) else {c: e for c, e in EDITS.items() if e.rule}
    wrong = {column: said for column, edit in alone.items() if (said := _judge(engine, column, edit, sound.rows))}
    assert not wrong


def test_check_takes_no_evacuation_that_never_began_for_the_last_one(world: World, engine: Engine):
    """What was barred before it began says nothing of how the instance got where it is."""
    for name in ("lost", "back", "home"):
        world.evacuation(name, f"ev-barred-{name}").abandon(0)
    with edited(engine) as connection:
        assert find_breaches(look(connection)) == ()


def test_check_names_a_guest_that_is_at_home_again_without_its_volume(world: World, engine: Engine):
    """While its host was off that was right: the evacuation had taken it away, and came to nothing."""
    taken = f"UPDATE attachment SET status = 'reserved', connector = NULL WHERE {LOST}"
    for boot, rules in (("boot-1", set[str]()), ("boot-2", {"attached-elsewhere"})):
        if boot != "boot-1":
            world.bring_up("cmp-1", boot)
        with edited(engine, taken) as connection:
            found = {breach.rule for breach in find_breaches(look(connection)) if breach.subject == "lost"}
        assert found == rules


def _do_harm_together(engine: Engine, before: i.Rows) -> bool:
    """All the edits that are to do no harm: a look for each would cost most of the test."""
    edits = [_statement(column, edit) for column, edit in EDITS.items() if edit.rule is None]
    with edited(engine, *edits) as connection:
        return bool(find_breaches(look(connection, before)))


def _statement(column: str, edit: Edit) -> str:
    table, name = column.split(".")
    return f'UPDATE "{table}" SET {name} = {edit.to} WHERE {edit.where}'


def _judge(engine: Engine, column: str, edit: Edit, before: i.Rows) -> str | None:
    try:
        with edited(engine, _statement(column, edit)) as connection:
            found = find_breaches(look(connection, before))
    except IntegrityError:
        kept_out = edit.rule is not None and engine.dialect.name == "postgresql"
        return None if kept_out else "the database refuses it"
    return _differs(edit, found)


def _differs(edit: Edit, found: Sequence[Breach]) -> str | None:
    rules = sorted({breach.rule for breach in found})
    if edit.rule is None:
        return f"no harm, and it is named by {rules}" if rules else None
    return None if edit.rule in rules else f"not by {edit.rule}, but by {rules}"


GONE = {
    "a row of ports": (f"DELETE FROM port WHERE {HOME}", "refers-to-nothing"),
    "a binding": (f"DELETE FROM port_binding WHERE {PORTS_OF}", "bound-elsewhere"),
    "a mapping": (f"DELETE FROM block_device WHERE {HOME}", "attached-unmapped"),
    "an attachment": (f"DELETE FROM attachment WHERE {HOME}", "mapped-otherwise"),
    "a volume": ("DELETE FROM volume WHERE name = 'home-data'", "mapped-to-nothing"),
    "a residence": (f"DELETE FROM residence WHERE {of('cold')}", "nowhere"),
    "an allocation": ("DELETE FROM allocation WHERE host = 'cmp-3' AND disk_gb = 1", "allocated-elsewhere"),
    "a host": ("DELETE FROM host WHERE name = 'cmp-3'", "refers-to-nothing"),
    "an instance": ("DELETE FROM instance WHERE name = 'home'", "refers-to-nothing"),
    "a migration": (f"DELETE FROM migration WHERE {AWAY}", "migration-otherwise"),
    "an attempt": (f"DELETE FROM attempt WHERE {AWAY}", "attempt-lost"),
    "an action": (f"DELETE FROM action WHERE {AWAY}", "refers-to-nothing"),
    "an evacuation": (f"DELETE FROM evacuation WHERE {AWAY}", "refers-to-nothing"),
    "the loaded fleet": ("DELETE FROM loaded_fleet", "turn-gone"),
}


def test_check_names_what_is_missing(world: World, engine: Engine):
    with edited(engine) as connection:
        sound = look(connection)
    for what, (statement, rule) in GONE.items():
        try:
            with edited(engine, statement) as connection:
                found = {breach.rule for breach in find_breaches(look(connection, sound.rows))}
        except IntegrityError:
            assert engine.dialect.name == "postgresql"
        else:
            assert rule in found, what


UNIQUE = {
    "uq_residence_unproven": "CREATE UNIQUE INDEX {name} ON residence (instance_id) WHERE proof IS NULL AND epoch > 5",
    "uq_evacuation_open": "CREATE INDEX {name} ON evacuation (instance_id) WHERE phase != 'closed'",
    "uq_evidence_current": "CREATE UNIQUE INDEX {name} ON evidence (host, incarnation, kind, id)",
    "uq_port_binding_active": "CREATE INDEX {name} ON port_binding (port_id)",
    "uq_attachment_attached": "CREATE UNIQUE INDEX {name} ON attachment (id) WHERE status = 'attached'",
}
"""What somebody makes of each under its own name, and what does not keep out the same."""


def test_check_names_a_unique_index_that_is_gone_or_is_another_one(world: World, engine: Engine):
    for name, other in UNIQUE.items():
        for statements in ([f"DROP INDEX {name}"], [f"DROP INDEX {name}", other.format(name=name)]):
            with edited(engine, *statements) as connection:
                found = find_breaches(look(connection))
            assert [(breach.rule, breach.about) for breach in found] == [("constraint-gone", name)]


def test_check_names_every_constraint_of_postgres_that_is_gone(world: World, engine: Engine):
    if engine.dialect.name == "sqlite":
        return
    for table in Row.metadata.sorted_tables:
        for each in (each for each in table.constraints if isinstance(each, UniqueConstraint | PrimaryKeyConstraint)):
            with edited(engine, f'ALTER TABLE "{table.name}" DROP CONSTRAINT {each.name} CASCADE') as connection:
                found = find_breaches(look(connection))
            assert ("constraint-gone", each.name) in [(breach.rule, breach.about) for breach in found]


STRANGE = {
    "volume.status": "'lost'",
    "instance.vm_state": "'shelved'",
    "instance.fault": """'{"message": 7'""",
    "residence.proof": "'true'",
    "instance.vcpus": "'many'",
    "port_binding.active": "'perhaps'",
    "migration.updated_at": "'soon'",
}


def test_check_names_what_nobody_can_read(world: World, engine: Engine):
    for column, value in STRANGE.items():
        table, name = column.split(".")
        try:
            with edited(engine, f'UPDATE "{table}" SET {name} = {value}') as connection:
                found = find_breaches(look(connection))
        except DBAPIError:
            assert engine.dialect.name == "postgresql"
        else:
            assert "unknown-word" in {breach.rule for breach in found}, column
