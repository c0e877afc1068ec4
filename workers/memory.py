"""A worker lives for months: what it no longer uses goes back to the system."""

import ctypes
import gc
from contextlib import suppress

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""As in glibc's malloc.h."""
LARGE = 128 * 1024
"""Bytes from which a block is mapped by itself, and goes back as soon as it is freed: glibc's first value, which it
would raise as it goes."""


def hold_little() -> None:
    """To be called once everything is imported, and before there are threads.

    glibc gives each thread a heap of its own, and the pieces that are freed in it stay there: a control worker grew by
    two MiB a minute for ten minutes. Python threads seldom allocate at the same time, so one heap serves them all.
    Where the C library has no such options, it is left as it is."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE)
    # What was imported is never garbage. Python puts a full collection off until a quarter of what it has to look
    # through is new: without this, what ended runs leave in cycles piles up for longer.
    gc.freeze()
