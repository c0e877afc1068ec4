"""A hypervisor and a fence that nobody has seen before: all that a new driver is."""
