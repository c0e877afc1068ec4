"""One destination out of thousands.

The rules of `evacuation.placement` decide. The database is only asked in which order to show them hosts: tiers, each of
which the rules rank before the next one, read page by page until one fits. When none does, every host is looked at, for
the reasons."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Executable, bindparam, or_
from sqlmodel import Session, String, col, literal_column, select

from evacuation.model import Candidate, GroupPolicy, Placement, PlacementRequest
from evacuation.placement import place
from services.sql.bytewise import Bytewise
from services.sql.ledger.candidates import FLYING, SEEN, Seen, as_candidates, every_host, named_hosts
from services.sql.ledger.groups import group_of
from services.sql.ledger.judging import Judge, Reports
from services.sql.statements import execute
from services.sql.tables import HostRow, InstanceRow

PAGE = 8
Tier = Callable[[Session, PlacementRequest, frozenset[str]], Iterator[Sequence[Seen]]]
"""Of a request whose group's members count on those hosts."""


class Choice(NamedTuple):
    """`placement` is what the rules say of `hosts`, which are all hosts if nothing fits."""

    request: PlacementRequest
    hosts: tuple[Candidate, ...]
    placement: Placement
    rows: Mapping[str, Seen]

    @property
    def host(self) -> Seen | None:
        return self.rows[self.placement.chosen[0]] if self.placement.chosen else None


def choose(
    session: Session, instance: InstanceRow, target: str | None = None, excluded: Mapping[str, str] | None = None
) -> Choice:
    """Among the hosts as they are now. Best first is what the rules would rank first among all of them."""
    request = request_of(session, instance).model_copy(update={"target": target, "excluded": dict(excluded or {})})
    judge = Judge(Reports(session), instance)
    for rows in _pages(session, request):
        choice = _place(session, request, judge, rows)
        if choice.placement.chosen:
            return choice
    return _place(session, request, judge, every_host(session), whole=True)


def request_of(session: Session, instance: InstanceRow) -> PlacementRequest:
    """Without target and exclusions, and without what its definition asks of a host."""
    group = group_of(session, instance)
    return PlacementRequest(
        flavor=instance.on_host,
        source=instance.host or "",
        availability_zone=instance.availability_zone,
        required_traits=frozenset(instance.traits),
        policy=group.policy,
        members=group.members,
    )


def _place(
    session: Session, request: PlacementRequest, judge: Judge, rows: Sequence[Seen], *, whole: bool = False
) -> Choice:
    """Of a page only those are judged by their capabilities that would be chosen otherwise."""
    hosts, known = as_candidates(session, rows), {row.name: row for row in rows}
    if whole:
        request = request.model_copy(update={"unable": judge.unable(known)})
    placement = place(request, hosts)
    while not whole and placement.chosen and (unable := judge.unable(placement.chosen[:1])):
        request = request.model_copy(update={"unable": request.unable | unable})
        placement = place(request, hosts)
    return Choice(request, hosts, placement, known)


def _pages(session: Session, request: PlacementRequest) -> Iterator[Sequence[Seen]]:
    homes = frozenset[str]().union(*(member.hosts for member in request.members))
    for tier in _tiers(request, homes):
        yield from tier(session, request, homes)


def _tiers(request: PlacementRequest, homes: frozenset[str]) -> Sequence[Tier]:
    if request.target is not None:
        return (_the_target,)
    if request.policy is GroupPolicy.AFFINITY and homes - {request.source}:
        return (_homes,)
    return _ORDER.get(request.policy, (_idle, _busy))


def _the_target(session: Session, request: PlacementRequest, homes: frozenset[str]) -> Iterator[Sequence[Seen]]:
    yield named_hosts(session, [request.target] if request.target else [])


def _homes(session: Session, request: PlacementRequest, homes: frozenset[str]) -> Iterator[Sequence[Seen]]:
    """Where the group is: few hosts, all at once."""
    yield named_hosts(session, homes)


def _idle(session: Session, request: PlacementRequest, homes: frozenset[str]) -> Iterator[Sequence[Seen]]:
    """Hosts that nothing is on its way to, the one with the most room first."""
    yield from _paged(session, _IDLE, request, homes)


def _busy(session: Session, request: PlacementRequest, homes: frozenset[str]) -> Iterator[Sequence[Seen]]:
    """The others, those where one more waits least first, then those with the fewest in flight."""
    yield from _paged(session, _BUSY, request, homes)


_ORDER: Mapping[GroupPolicy | None, Sequence[Tier]] = MappingProxyType(
    {
        GroupPolicy.SOFT_AFFINITY: (_homes, _idle, _busy),
        GroupPolicy.SOFT_ANTI_AFFINITY: (_idle, _busy, _homes),
    }
)


def _paged(
    session: Session, statement: Executable, request: PlacementRequest, homes: frozenset[str]
) -> Iterator[Sequence[Seen]]:
    """Without the hosts of the group's members: where they count, they are a tier of their own."""
    counts = request.policy is not GroupPolicy.AFFINITY
    asked = {
        "never": [request.source, *request.excluded, *(homes if counts else ())],
        "zone": request.availability_zone,
        **{f"need_{name}": value for name, value in request.flavor},
    }
    offset = 0
    while rows := _read(session, statement, **asked, number=PAGE, start=offset):
        yield rows
        offset += PAGE


def _read(session: Session, statement: Executable, **values: object) -> Sequence[Any]:
    return execute(session, statement, **values).all()


_ZONE = bindparam("zone", type_=String)
_FLYING = FLYING.subquery("flying")
_FITTING = (
    sa.select(*SEEN)
    .where(
        # Written out, as the index of hosts that may be chosen has it.
        literal_column("host.state = 'up'"),
        literal_column("host.enabled"),
        col(HostRow.memory_mb_free) >= bindparam("need_memory_mb"),
        or_(col(HostRow.vcpus_free) >= bindparam("need_vcpus"), bindparam("need_vcpus") <= 0),
        or_(col(HostRow.disk_gb_free) >= bindparam("need_disk_gb"), bindparam("need_disk_gb") <= 0),
        or_(_ZONE.is_(None), col(HostRow.availability_zone) == _ZONE),
        col(HostRow.name).not_in(bindparam("never", expanding=True)),
    )
    .limit(bindparam("number"))
    .offset(bindparam("start"))
)
_ROOM = (col(HostRow.memory_mb_free).desc(), col(HostRow.vcpus_free).desc(), Bytewise(col(HostRow.name)))
_IDLE = _FITTING.where(col(HostRow.name).not_in(select(_FLYING.c.host))).order_by(*_ROOM)
_WAITS = sa.case((col(HostRow.max_evacuations) > 0, _FLYING.c.flying // col(HostRow.max_evacuations)), else_=0)
_BUSY = _FITTING.join(_FLYING, _FLYING.c.host == col(HostRow.name)).order_by(_WAITS, _FLYING.c.flying, *_ROOM)
