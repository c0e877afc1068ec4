"""Idempotent steps and their compensations: one class a family, each method one activity."""
