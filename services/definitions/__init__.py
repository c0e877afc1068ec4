"""What the description of a guest says: read, and judged, without the hypervisor that it is for."""
