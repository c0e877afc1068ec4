"""Stores on both databases, and the embedded stack, as the scenarios have it."""

from tests.scenarios.conftest import stack, temporal
from tests.support.stores import empty_url, postgres, services, url

__all__ = ["empty_url", "postgres", "services", "stack", "temporal", "url"]
