"""What holds for every test."""

from hypothesis import settings

# A loaded machine is no reason for a property to fail, and a failure is to be the same one everywhere.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")
