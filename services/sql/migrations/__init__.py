"""Schema revisions, applied by `services.sql.migrate`."""
