"""The fault matrix: every step, before and after its effect, under every kind of fault, on the real stack."""
