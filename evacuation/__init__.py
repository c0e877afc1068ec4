"""The domain of evacuation: pure Python and pydantic, no I/O, nothing of Temporal or of a database."""
