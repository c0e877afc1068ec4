"""The boards of a host: who it is in the store, and who it was before. What is read or said of the host now is about
the board that it has now; of the one before only evidence about its last boot counts."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from evacuation.identity import Identity, ReplacedIdentity
from services.sql.statements import execute, table_of
from services.sql.tables import HostRow, utc_now


def identity_of(host: HostRow) -> Identity | None:
    """None: whoever registers first is that host."""
    if host.hypervisor_uuid is None or host.machine_id is None:
        return None
    return Identity(hypervisor_uuid=host.hypervisor_uuid, machine_id=host.machine_id)


def is_replaced(host: HostRow | None, incarnation: str | None) -> bool:
    """Whether it was the last boot of a board that the host has no more."""
    return host is not None and any(each.incarnation == incarnation for each in host.replaced or ())


def was_before(host: HostRow, found: Identity) -> bool:
    return any(Identity.of(each) == found for each in host.replaced or ())


def note_alive(host: HostRow | None, incarnation: str | None) -> None:
    """Somebody has heard of that boot: if it was said to be over with its board, that was wrong."""
    if host is not None and is_replaced(host, incarnation):
        host.replaced = [_seen(each) if each.incarnation == incarnation else each for each in host.replaced or ()]


def _seen(board: ReplacedIdentity) -> ReplacedIdentity:
    return board.model_copy(update={"seen_at": utc_now()})


def boards_of(session: Session, hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Who each host is, besides its hypervisor, who it was, and who was refused."""
    table = table_of(HostRow).c
    asked = sa.select(table.name, table.machine_id, table.refused, table.replaced)
    rows = execute(session, asked.where(table.name.in_(hosts)))
    return {
        name: {"machine_id": machine, "refused": no, "replaced": tuple(old or ())} for name, machine, no, old in rows
    }
