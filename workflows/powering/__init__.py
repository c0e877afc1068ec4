"""Starts and stops of an instance where it is."""
