"""What every workflow is made of: calls and their policies, failures, steps, compensations, what people see."""
