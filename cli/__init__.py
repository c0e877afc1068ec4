"""The operator's commands. Temporal and the store are imported only inside the commands that need them."""
