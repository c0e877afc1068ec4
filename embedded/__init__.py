"""Everything on one machine: Temporal, workers, hosts whose guests are processes; the demonstration; faults."""
