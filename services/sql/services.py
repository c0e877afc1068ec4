"""Everything that is behind the ports in one SQL database. What is not used is not imported: of a command that reads,
imports are most of the cost."""

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from evacuation.fencing import FencingPolicy
from services.sql.database import RETENTION, Database, connect_database
from services.sql.schema import check_revision, require_file

if TYPE_CHECKING:
    from services.cloud.sql.capacity import SqlCapacity
    from services.cloud.sql.exports import SqlExports
    from services.cloud.sql.network import SqlNetwork
    from services.cloud.sql.volumes import SqlVolumes
    from services.sql.fleet.adopting import SqlAdoption
    from services.sql.fleet.loading import SqlFleet
    from services.sql.hosts.identities import SqlIdentities
    from services.sql.hosts.onlookers import SqlOnlookers
    from services.sql.hosts.store import SqlHosts
    from services.sql.ledger.fences import SqlEvidence
    from services.sql.ledger.ledgers import SqlLedger
    from services.sql.ledger.store import SqlStore
    from services.sql.read.views import SqlViews


class SqlServices:
    """Safe to use from many threads. Each call has its own timeout."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @cached_property
    def store(self) -> "SqlStore":
        from services.sql.ledger.store import SqlStore

        return SqlStore(self.database)

    @cached_property
    def evidence(self) -> "SqlEvidence":
        from services.sql.ledger.fences import SqlEvidence

        return SqlEvidence(self.database)

    @cached_property
    def onlookers(self) -> "SqlOnlookers":
        from services.sql.hosts.onlookers import SqlOnlookers

        return SqlOnlookers(self.database)

    @cached_property
    def identities(self) -> "SqlIdentities":
        from services.sql.hosts.identities import SqlIdentities

        return SqlIdentities(self.database)

    @cached_property
    def capacity(self) -> "SqlCapacity":
        from services.cloud.sql.capacity import SqlCapacity

        return SqlCapacity(self.database)

    @cached_property
    def network(self) -> "SqlNetwork":
        from services.cloud.sql.network import SqlNetwork

        return SqlNetwork(self.database)

    @cached_property
    def volumes(self) -> "SqlVolumes":
        from services.cloud.sql.volumes import SqlVolumes

        return SqlVolumes(self.database)

    @cached_property
    def exports(self) -> "SqlExports":
        from services.cloud.sql.exports import SqlExports

        return SqlExports(self.database)

    @cached_property
    def hosts(self) -> "SqlHosts":
        from services.sql.hosts.store import SqlHosts

        return SqlHosts(self.database)

    @cached_property
    def ledger(self) -> "SqlLedger":
        from services.sql.ledger.ledgers import SqlLedger

        return SqlLedger(self.database)

    @cached_property
    def fleet(self) -> "SqlFleet":
        from services.sql.fleet.loading import SqlFleet

        return SqlFleet(self.database)

    @cached_property
    def adoption(self) -> "SqlAdoption":
        from services.sql.fleet.adopting import SqlAdoption

        return SqlAdoption(self.database)

    @cached_property
    def views(self) -> "SqlViews":
        from services.sql.read.views import SqlViews

        return SqlViews(self.database)

    def close(self) -> None:
        self.database.close()


def open_services(url: str, policy: FencingPolicy | None = None, *, retention: timedelta | None = None) -> SqlServices:
    """The database answers and has this release's schema; what proves a place empty there is as the policy says, and
    events are kept for the retention. Raises StoreUnavailableError, StoreSchemaError."""
    require_file(url)
    database = connect_database(url, {FencingPolicy: policy, RETENTION: retention})
    try:
        database.run(check_revision)
    except BaseException:
        database.close()
        raise
    return SqlServices(database)
