"""The one place that writes allocations.

Whoever writes one has the turn, and the generation of its host grows with it, in the writer's own transaction: two that
choose a host never do so at the same time, and one that chose by an older look has lost."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping, bindparam, delete, update
from sqlmodel import Session, select

from evacuation.model import Flavor
from services.sql.ledger.candidates import Used, totals, used_by_host
from services.sql.statements import add, add_all, execute, table_of
from services.sql.tables import AllocationRow, HostRow, LoadedFleet

_TURN = select(LoadedFleet.id).with_for_update(key_share=True)
_TABLE, _HOSTS, _SIZES = table_of(AllocationRow), table_of(HostRow), tuple(Flavor.model_fields)
_THIS_HOST = _HOSTS.c.name == bindparam("on_host")
_FREE = {f"{size}_free": _HOSTS.c[f"{size}_free"] - bindparam(f"more_{size}") for size in _SIZES}
_GROW = update(_HOSTS).where(_THIS_HOST).values(generation=_HOSTS.c.generation + 1, **_FREE)
_GROW_FROM = _GROW.where(_HOSTS.c.generation == bindparam("read"))
_TOTALS = sa.select(_HOSTS).where(_HOSTS.c.name.in_(bindparam("names", expanding=True)))
_COUNT = update(_HOSTS).where(_THIS_HOST).values({f"{size}_free": bindparam(f"left_{size}") for size in _SIZES})
_OF = sa.select(_TABLE).where(_TABLE.c.consumer_id.in_(bindparam("consumers", expanding=True)))
_DROP = delete(_TABLE).where(_TABLE.c.id.in_(bindparam("ids", expanding=True)))
_THIS = (_TABLE.c.consumer_id == bindparam("consumer"), _TABLE.c.host == bindparam("on_host"))
_HELD = select(_TABLE.c.vcpus, _TABLE.c.memory_mb, _TABLE.c.disk_gb).where(*_THIS)
_RESIZE = update(_TABLE).where(*_THIS).values({size: bindparam(f"new_{size}") for size in _SIZES})
_MOVE = update(_TABLE).where(*_THIS).values(consumer_id=bindparam("to_consumer"))
_NOTHING = Flavor(vcpus=0, memory_mb=0, disk_gb=0)


class Allocations:
    """Has the turn, from here to the end of the transaction. Instances and evacuations are locked before it, hosts
    after it. A store without a fleet has no turn to take: its row is written first."""

    def __init__(self, session: Session) -> None:
        self._session = session
        take_turn(session)

    def claim(self, consumer: str, host: str, size: Flavor, *, read: int) -> bool:
        """False, and nothing is written: the host's generation is not the one that was read."""
        if not swap(self._session, host, size, read):
            return False
        add(self._session, _row(consumer, host, size))
        return True

    def hold(self, held: Iterable[tuple[str, str, Flavor]]) -> None:
        """Consumer, host and size of many; none of them holds anything on its host yet."""
        held = list(held)
        rows = [{"consumer_id": consumer, "host": host, **dict(size)} for consumer, host, size in held]
        add_all(self._session, AllocationRow, rows)
        self._grow((host, size) for _, host, size in held)

    def resize(self, consumer: str, host: str, size: Flavor) -> None:
        """What the consumer holds on that host, from now on."""
        row = execute(self._session, _HELD, consumer=consumer, on_host=host).mappings().first()
        before = _size(row) if row is not None else _NOTHING
        if row is None:
            add(self._session, _row(consumer, host, size))
        elif before != size:
            execute(self._session, _RESIZE, consumer=consumer, on_host=host, **_named("new", size))
        else:
            return
        self._grow([(host, size), (host, _negative(before))])

    def move(self, from_consumer: str, to_consumer: str, host: str) -> None:
        moved = {"consumer": from_consumer, "to_consumer": to_consumer, "on_host": host}
        if execute(self._session, _MOVE, **moved).rowcount:
            self._grow([(host, _NOTHING)])

    def drop(self, *consumers: str, but: str | None = None) -> None:
        """Everything that they hold, except on the host `but`."""
        found = execute(self._session, _OF, consumers=list(consumers)).mappings().all()
        rows = [row for row in found if row["host"] != but]
        if rows:
            execute(self._session, _DROP, ids=[row["id"] for row in rows])
            self._grow((row["host"], _negative(_size(row))) for row in rows)

    def count(self, hosts: Sequence[str]) -> None:
        """What is left on hosts that are new, or have another size."""
        used = used_by_host(self._session, hosts)
        found: Sequence[Any] = execute(self._session, _TOTALS, names=list(hosts)).all()
        rows = [{"on_host": host.name, **_left(totals(host), used.get(host.name, (0, 0, 0)))} for host in found]
        self._session.connection().execute(_COUNT, rows)

    def _grow(self, more: Iterable[tuple[str, Flavor]]) -> None:
        """One generation for each host, however much of it is written."""
        sums: dict[str, Flavor] = {}
        for host, size in more:
            sums[host] = _sum(sums.get(host, _NOTHING), size)
        rows = [{"on_host": host, **_named("more", size)} for host, size in sorted(sums.items())]
        if rows:
            self._session.connection().execute(_GROW, rows)


def take_turn(session: Session) -> None:
    """One after the other. The generations alone would do for one host's capacity; but of many that lose at once only
    one gets on, and members of a server group may choose different hosts at the same time."""
    execute(session, _TURN).first()


def swap(session: Session, host: str, size: Flavor, read: int) -> bool:
    return execute(session, _GROW_FROM, on_host=host, read=read, **_named("more", size)).rowcount == 1


def _row(consumer: str, host: str, size: Flavor) -> AllocationRow:
    return AllocationRow(consumer_id=consumer, host=host, **dict(size))


def _named(prefix: str, size: Flavor) -> dict[str, int]:
    return {f"{prefix}_{name}": value for name, value in size}


def _left(total: Used, used: Used) -> dict[str, int]:
    return {f"left_{size}": all - taken for size, all, taken in zip(_SIZES, total, used, strict=True)}


def _size(row: RowMapping) -> Flavor:
    return Flavor(**{size: row[size] for size in _SIZES})


def _sum(one: Flavor, other: Flavor) -> Flavor:
    return Flavor(**{size: getattr(one, size) + getattr(other, size) for size in _SIZES})


def _negative(size: Flavor) -> Flavor:
    return Flavor(**{name: -value for name, value in size})
