"""Instances where they are: starts, stops, guests that moved, what they hold, and their deletion."""
