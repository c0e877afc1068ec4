"""Capacity, network and volumes, which may be somebody else's: each behind its port."""
