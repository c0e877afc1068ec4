"""Capacity, network and volumes in the SQL database of the store."""
