"""The port `Identities`."""

from collections.abc import Collection

from sqlmodel import Session, col, func, select

from services.sql.database import Database
from services.sql.tables import HostRow


class SqlIdentities:
    """By what each host's worker said of itself when it registered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def uuid_of(self, host: str) -> str | None:
        return self._database.read(_uuid_of, host)

    def owner_of(self, uuids: Collection[str]) -> str | None:
        return self._database.read(_owner_of, uuids)


def _uuid_of(session: Session, host: str) -> str | None:
    return session.exec(select(HostRow.hypervisor_uuid).where(HostRow.name == host)).first()


def _owner_of(session: Session, uuids: Collection[str]) -> str | None:
    """Every host is looked at, which is seldom needed: one may have said its UUID in upper case."""
    known = func.lower(col(HostRow.hypervisor_uuid)).in_([each.lower() for each in uuids])
    return session.exec(select(HostRow.name).where(known)).first()
