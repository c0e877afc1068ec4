"""State machines: the product under sequences of events that nobody thought of. What they may cost is in budget.py."""
