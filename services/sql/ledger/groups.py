"""Where the other members of an instance's server group count."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BindParameter, bindparam
from sqlmodel import Session, col, select

from evacuation.model import GroupMember, GroupPolicy, VmState
from services.sql.ledger.candidates import IS_CURRENT_ATTEMPT, IS_IN_FLIGHT
from services.sql.statements import execute
from services.sql.tables import AttemptRow, EvacuationRow, InstanceRow, ResidenceRow, ServerGroupRow

_POLICY = select(ServerGroupRow.policy).where(col(ServerGroupRow.name) == bindparam("group_name"))
_OTHERS = (
    select(InstanceRow.id, InstanceRow.name, InstanceRow.host)
    .where(
        col(InstanceRow.server_group) == bindparam("group_name"),
        col(InstanceRow.id) != bindparam("but"),
        InstanceRow.vm_state != VmState.DELETED,
    )
    .order_by(col(InstanceRow.position))
)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_GOING = (
    select(EvacuationRow.instance_id, AttemptRow.host)
    .join(AttemptRow, IS_CURRENT_ATTEMPT)
    .where(IS_IN_FLIGHT, col(EvacuationRow.instance_id).in_(_IDS))
)
_BEING = select(ResidenceRow.instance_id, ResidenceRow.host).where(
    col(ResidenceRow.proof).is_(None), col(ResidenceRow.instance_id).in_(_IDS)
)


class Group(NamedTuple):
    """A server group as it counts for one instance; without a policy there is none."""

    policy: GroupPolicy | None = None
    members: tuple[GroupMember, ...] = ()


def group_of(session: Session, instance: InstanceRow) -> Group:
    if instance.server_group is None:
        return Group()
    policy = execute(session, _POLICY, group_name=instance.server_group).scalars().first()
    return Group(policy, _members(session, instance)) if policy is not None else Group()


def _members(session: Session, instance: InstanceRow) -> tuple[GroupMember, ...]:
    """Where each counts: its recorded host, dead or not, where it is on its way to, and where it may run."""
    others = execute(session, _OTHERS, group_name=instance.server_group, but=instance.id).all()
    hosts = {id: {host} if host else set[str]() for id, _, host in others}
    for id, host in _whereabouts(session, list(hosts)):
        hosts[id].add(host)
    return tuple(GroupMember(name=name, hosts=frozenset(hosts[id])) for id, name, _ in others)


def _whereabouts(session: Session, ids: list[str]) -> Sequence[tuple[str, str]]:
    found = (execute(session, statement, ids=ids).all() for statement in (_GOING, _BEING))
    return [(id, host) for rows in found for id, host in rows]
