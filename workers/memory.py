"""A worker lives for months: what it no longer uses goes back to the system."""

import asyncio
import ctypes
import gc
from contextlib import suppress

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""As in glibc's malloc.h."""
TIDY = 10.0
"""Seconds between full collections, of some milliseconds each."""
LARGE = 128 * 1024
"""Bytes from which a block is mapped by itself, and goes back as soon as it is freed: glibc's first value, which it
would raise as it goes."""


def hold_little() -> None:
    """To be called once everything is imported, and before there are threads. Collections are on from then on.

    glibc gives each thread a heap of its own, and the pieces that are freed in it stay there. Python threads seldom
    allocate at the same time, so one heap serves them all. Where the C library has no such options, it is left as it
    is."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE)
    # What was imported is never garbage.
    gc.freeze()
    gc.enable()


async def keep_tidy() -> None:
    """Never returns. Runs that end leave cycles, and Python puts a full collection off until they are a quarter of
    all that it looks through: the heap would grow to hold them."""
    while True:
        await asyncio.sleep(TIDY)
        gc.collect()
