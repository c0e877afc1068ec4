"""Compute hosts in memory, for measurements with thousands of guests."""
