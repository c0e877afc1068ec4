"""Deterministic stories: one workflow a file. No settings, clock, randomness or ORM in here."""
