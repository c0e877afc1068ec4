"""Epochs: of two guests of one instance the newer has the higher one. A guest carries its own as a mark."""

UNMARKED = 0
"""Of a guest that carries no mark: older than every one that was ever given."""
FIRST_EPOCH = 1
"""Of the residence that is written when a fleet is loaded: its guest was there before, so that it has no mark yet."""


def has_mark_of(residence: int, mark: int) -> bool:
    """Whether a guest with that mark is the guest of the residence with that epoch."""
    return mark == residence or (mark, residence) == (UNMARKED, FIRST_EPOCH)
