"""Reads: what is shown, and what checks look at."""
