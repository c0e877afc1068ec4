"""The whole store at one moment, for `check`: plain tuples, and as little of each row as a rule asks for.

It reads what a person, or another program, may have made of the rows: a word that means nothing is handed on as it
is."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any
from typing import cast as typed

from sqlalchemy import (
    ColumnElement,
    Enum,
    Integer,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    cast,
    func,
    select,
    type_coerce,
)
from sqlmodel import Session

from evacuation import invariants as i
from evacuation.ledger import LedgerMark
from evacuation.model import EvidenceKind, TaskState, VmState
from services.sql.read import soundness
from services.sql.statements import execute, table_of
from services.sql.tables import (
    ActionRow,
    AllocationRow,
    AttachmentRow,
    AttemptRow,
    BlockDeviceRow,
    CutRow,
    EvacuationRow,
    EvidenceRow,
    HostRow,
    InstanceRow,
    LedgerRow,
    LoadedFleet,
    MigrationRow,
    NetworkRow,
    PortBindingRow,
    PortRow,
    ResidenceRow,
    Row,
    ServerGroupRow,
    SightingRow,
    VolumeRow,
    utc_now,
)
from services.sql.tables.columns import Utc, Value

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def everything(session: Session) -> i.Rows:
    names = {row["id"]: row["name"] for row in _read(session, InstanceRow, "id", "name")}
    ports, inactive = _ports(session)
    fleets = list(_read(session, LoadedFleet, "id", "fleet"))
    loaded = _json(next((row["fleet"] for row in fleets), None))
    return i.Rows(
        hosts=tuple(_hosts(session)),
        instances=tuple(_instances(session)),
        migrations=tuple(_migrations(session)),
        allocations=tuple(_plain(session, AllocationRow, i.SeenAllocation)),
        ports=ports,
        volumes=tuple(_volumes(session)),
        residences=tuple(_residences(session, names)),
        evacuations=tuple(_evacuations(session, names)),
        sightings=tuple(_plain(session, SightingRow, i.SeenSighting)),
        attempts=tuple(_plain(session, AttemptRow, i.SeenAttempt)),
        actions=tuple(_actions(session)),
        inactive_bindings=inactive,
        mappings=tuple(_mappings(session)),
        groups={row["name"]: row["policy"] for row in _read(session, ServerGroupRow, "name", "policy")},
        networks={row["name"]: row["cidr"] for row in _read(session, NetworkRow, "name", "cidr")},
        being_cut=frozenset(row["host"] for row in _read(session, CutRow, "host", "until") if _is_ahead(row["until"])),
        fleets=sum(row["id"] == 1 for row in fleets),
        **_ledger(session),
        loaded_in_error=frozenset(
            each["name"] for each in loaded.get("instances", ()) if each.get("vm_state") == VmState.ERROR
        ),
        loaded_members=_loaded_members(loaded),
        constraints=tuple(soundness.constraints_gone(session)),
        references=tuple(soundness.references_to_nothing(session)),
        words=tuple(soundness.unknown_words(session)),
    )


def _read(session: Session, kind: type[Row], *names: str) -> Iterator[RowMapping]:
    yield from execute(session, _statement(table_of(kind), names)).mappings()


@cache
def _statement(table: Table, names: tuple[str, ...]) -> Select[Any]:
    """Those columns of every row, in the order of creation so far as it is known."""
    order = (table.c[name] for name in ("position", "created_at", "started_at") if name in table.c)
    return select(*(readable(table.c[name]).label(name) for name in names)).order_by(*order, *table.primary_key)


def readable(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """What is in the column, also when it is not what is to be in it."""
    if isinstance(column.type, Enum):
        return type_coerce(column, String)
    if isinstance(column.type, Integer):
        return cast(column, Integer)
    return cast(column, Text) if isinstance(column.type, Utc | Value) else column


def _plain(session: Session, kind: type[Row], seen: Any) -> Iterator[Any]:
    for row in _read(session, kind, *seen.model_fields):
        yield seen.model_construct(None, **row)


def _hosts(session: Session) -> Iterator[i.SeenHost]:
    ratios = {"vcpus": "cpu", "memory_mb": "ram", "disk_gb": "disk"}
    usual = ("name", "state", "incarnation", "hypervisor_uuid", "machine_id", "max_evacuations")
    usual += tuple(f"{size}_free" for size in ratios)
    used, fenced = _used(session), _fenced(session)
    for row in _read(
        session, HostRow, *usual, "replaced", *ratios, *(f"{name}_allocation_ratio" for name in ratios.values())
    ):
        sizes = {size: int(row[size] * row[f"{name}_allocation_ratio"]) for size, name in ratios.items()}
        taken = dict(zip((f"{size}_used" for size in ratios), used.get(row["name"], (0, 0, 0)), strict=True))
        since = fenced.get((row["name"], row["incarnation"] or ""))
        kept = {name: row[name] for name in usual}
        told = {"fenced": since is not None, "fenced_since": since, "gone_and_seen": _gone_and_seen(row["replaced"])}
        yield i.SeenHost.model_construct(None, **kept, **sizes, **taken, **told)


def _gone_and_seen(text: str | None) -> tuple[str, ...]:
    boards = (_json(json.dumps(each)) for each in _list(text))
    return tuple(str(each.get("incarnation")) for each in boards if each.get("seen_at"))


def _used(session: Session) -> dict[str, tuple[int, ...]]:
    table = table_of(AllocationRow).c
    sums = (func.sum(readable(column)) for column in (table.vcpus, table.memory_mb, table.disk_gb))
    return {
        row[0]: tuple(int(each) for each in row[1:])
        for row in execute(session, select(table.host, *sums).group_by(table.host))
    }


def _fenced(session: Session) -> dict[tuple[str, str], datetime]:
    """Since when there is current evidence about the whole host, by host and incarnation."""
    found: dict[tuple[str, str], datetime] = {}
    for row in _read(session, EvidenceRow, "host", "incarnation", "kind", "at", "voided_at"):
        if row["voided_at"] is None and row["kind"] != EvidenceKind.STORAGE_REVOKED:
            key, at = (row["host"], row["incarnation"]), _time(row["at"])
            found[key] = min(at, found.get(key, at))
    return found


def _is_ahead(text: str) -> bool:
    return _time(text) > utc_now()


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return LONG_AGO
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _instances(session: Session) -> Iterator[i.SeenInstance]:
    named = {"last_epoch": "epoch"}
    kept = [name for name in i.SeenInstance.model_fields if name not in ("has_fault", "epoch")]
    for row in _read(session, InstanceRow, *kept, *named, "fault", "deleting"):
        shown = {name: row[name] for name in kept} | {new: row[old] for old, new in named.items()}
        if row["deleting"] and row["vm_state"] != VmState.DELETED:
            shown["task_state"] = row["task_state"] or TaskState.DELETING
        yield i.SeenInstance.model_construct(None, **shown, has_fault=row["fault"] is not None)


def _loaded_members(loaded: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    policies = {each["name"]: each["policy"] for each in loaded.get("server_groups", ())}
    grouped = (each for each in loaded.get("instances", ()) if each.get("server_group") in policies)
    return {each["name"]: (each["host"], each["server_group"], policies[each["server_group"]]) for each in grouped}


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return typed("dict[str, Any]", found) if isinstance(found, dict) else {}


def _migrations(session: Session) -> Iterator[i.SeenMigration]:
    for row in _read(session, MigrationRow, *i.SeenMigration.model_fields):
        yield i.SeenMigration.model_construct(None, **{**row, "updated_at": _time(row["updated_at"])})


def _actions(session: Session) -> Iterator[i.SeenAction]:
    for row in _read(session, ActionRow, "evacuation_id", "instance_id", "finished_at"):
        kept = {name: row[name] for name in ("evacuation_id", "instance_id")}
        yield i.SeenAction.model_construct(None, **kept, finished=row["finished_at"] is not None)


def _ports(session: Session) -> tuple[tuple[i.SeenPort, ...], tuple[i.SeenBinding, ...]]:
    bindings = defaultdict[str, list[RowMapping]](list)
    for row in _read(session, PortBindingRow, "port_id", "host", "active", "status"):
        bindings[row["port_id"]].append(row)
    ports: list[i.SeenPort] = []
    inactive: list[i.SeenBinding] = []
    for row in _read(session, PortRow, "id", "instance_id", "network", "mac", "ip"):
        mine = next((each for each in bindings[row["id"]] if each["active"]), None)
        host, status = (mine["host"], mine["status"]) if mine else (None, "DOWN")
        ports.append(i.SeenPort.model_construct(None, **row, host=host, status=status))
        for each in bindings[row["id"]]:
            if not each["active"]:
                inactive.append(i.SeenBinding(instance_id=row["instance_id"], port_id=row["id"], host=each["host"]))
    return tuple(ports), tuple(inactive)


def _volumes(session: Session) -> Iterator[i.SeenVolume]:
    attachments = defaultdict[str, list[i.SeenAttachment]](list)
    for row in _read(session, AttachmentRow, "id", "volume_id", "instance_id", "connector", "status"):
        kept = {name: row[name] for name in ("id", "volume_id", "instance_id", "status")}
        host = _json(row["connector"]).get("host")
        attachments[row["volume_id"]].append(i.SeenAttachment.model_construct(None, **kept, host=host))
    for row in _read(session, VolumeRow, "id", "name", "status"):
        yield i.SeenVolume.model_construct(None, **row, attachments=tuple(attachments[row["id"]]))


def _ledger(session: Session) -> dict[str, Any]:
    """A store whose row is gone is another ledger."""
    rows = _read(session, LedgerRow, "id", "ledger", "position", "replaces", "unasked", "doubt")
    row = next((row for row in rows if row["id"] == 1), None)
    if row is None:
        return {"ledger": LedgerMark(ledger="", position=0)}
    return {
        "ledger": LedgerMark(ledger=row["ledger"], position=row["position"] or 0, replaces=_words(row["replaces"])),
        "doubted_by": _json(row["doubt"]).get("who"),
        "unasked": frozenset(_words(row["unasked"])),
    }


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(str(each) for each in _list(text))


def _list(text: str | None) -> list[object]:
    found = _json(f'{{"words": {text or "[]"}}}').get("words")
    return typed("list[object]", found) if isinstance(found, list) else []


def _mappings(session: Session) -> Iterator[i.SeenMapping]:
    for row in _read(session, BlockDeviceRow, *i.SeenMapping.model_fields):
        connector = _json(row["source_connector"]).get("host")
        yield i.SeenMapping.model_construct(None, **{**row, "source_connector": connector})


def _residences(session: Session, names: dict[str, str]) -> Iterator[i.SeenResidence]:
    kept = [name for name in i.SeenResidence.model_fields if name not in ("instance", "started")]
    for row in _read(session, ResidenceRow, *kept, "started_at"):
        proof = _json(row["proof"]).get("kind", "?") if row["proof"] is not None else None
        name = names.get(row["instance_id"], row["instance_id"])
        told = {"proof": proof, "instance": name, "started": row["started_at"] is not None}
        yield i.SeenResidence.model_construct(None, **{field: row[field] for field in kept} | told)


def _evacuations(session: Session, names: dict[str, str]) -> Iterator[i.SeenEvacuation]:
    read = ("evacuation_id", "number", "host", "epoch")
    attempts = {(row["evacuation_id"], row["number"]): row for row in _read(session, AttemptRow, *read)}
    kept = ("id", "instance_id", "migration_id", "source", "attempt", "phase", "vm_state_before", "wanted")
    for row in _read(session, EvacuationRow, *kept, "outcome", "closed_at"):
        outcome, attempt = _json(row["outcome"]), attempts.get((row["id"], row["attempt"]))
        yield i.SeenEvacuation.model_construct(
            None,
            **{name: row[name] for name in kept},
            instance=names.get(row["instance_id"], row["instance_id"]),
            destination=attempt["host"] if attempt else None,
            epoch=attempt["epoch"] if attempt else None,
            ended=outcome.get("outcome"),
            has_reason=bool(outcome.get("reason")),
            has_end=row["closed_at"] is not None,
        )
