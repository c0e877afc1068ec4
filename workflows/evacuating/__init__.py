"""The parts of one evacuation: forward, backward, attempts, the fence of the source, endings."""
