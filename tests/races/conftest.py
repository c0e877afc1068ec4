"""Stores on both databases, and the embedded stack, as the scenarios have it."""

from tests.scenarios.conftest import stack, temporal
from tests.support.stores import postgres, postgres_original, services, sqlite_original, url

__all__ = ["postgres", "postgres_original", "services", "sqlite_original", "stack", "temporal", "url"]
