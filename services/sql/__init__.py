"""The state store, and capacity, network and volumes, in one SQL database: SQLite or PostgreSQL."""

from services.sql.schema import migrate
from services.sql.services import SqlServices, open_services

__all__ = ["SqlServices", "migrate", "open_services"]
