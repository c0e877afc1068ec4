"""What must be unique or atomic: evacuations, their attempts, residences, epochs, evidence, the ledger's position."""
