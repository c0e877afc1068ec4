"""The soak: evacuations at random under random faults, for as long as is asked, on the real stack."""
