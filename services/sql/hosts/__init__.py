"""Hosts: who they are, what they report, what is seen on them, and their return."""
