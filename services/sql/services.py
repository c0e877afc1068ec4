"""Everything that is behind the ports in one SQL database."""

from evacuation.fencing import FencingPolicy
from services.sql.adopting import SqlAdoption
from services.sql.capacity import SqlCapacity
from services.sql.database import Database, connect_database
from services.sql.evidence import SqlEvidence
from services.sql.exports import SqlExports
from services.sql.fleet import SqlFleet
from services.sql.hosts import SqlHosts
from services.sql.network import SqlNetwork
from services.sql.schema import check_revision, require_file
from services.sql.store import SqlStore
from services.sql.views import SqlViews
from services.sql.volumes import SqlVolumes


class SqlServices:
    """Safe to use from many threads. Each call has its own timeout."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SqlStore(database)
        self.evidence = SqlEvidence(database)
        self.capacity = SqlCapacity(database)
        self.network = SqlNetwork(database)
        self.volumes = SqlVolumes(database)
        self.exports = SqlExports(database)
        self.hosts = SqlHosts(database)
        self.fleet = SqlFleet(database)
        self.adoption = SqlAdoption(database)
        self.views = SqlViews(database)

    def close(self) -> None:
        self.database.close()


def open_services(url: str, policy: FencingPolicy | None = None) -> SqlServices:
    """The database answers and has this release's schema; what proves a place empty there is as the policy says.
    Raises StoreUnavailableError, StoreSchemaError."""
    require_file(url)
    database = connect_database(url, {FencingPolicy: policy})
    try:
        database.run(check_revision)
    except BaseException:
        database.close()
        raise
    return SqlServices(database)
