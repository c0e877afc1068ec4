"""Batches side by side, each in a process of its own with servers of its own."""

import multiprocessing
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import partial
from typing import NamedTuple

from tests.chaos.matrix import Matrix
from tests.chaos.plan import Cell
from tests.chaos.play import Verdict
from tests.support.ending import end_early_when_told

Batches = Sequence[tuple[int, Sequence[Cell]]]
"""Each with its number among those of its kind."""


class Played(NamedTuple):
    verdicts: list[Verdict]
    instances: int
    strikes: int
    seconds: float


def play(number: int, batch: Sequence[Cell], *, seed: int, scale: float) -> Played:
    """In a process of its own, with servers of its own."""
    end_early_when_told()
    since = time.monotonic()
    with Matrix(seed=seed, scale=scale) as matrix:
        verdicts = matrix.play(batch, number)
    return Played(verdicts, matrix.instances, matrix.strikes, time.monotonic() - since)


def alone(number: int, batch: Sequence[Cell], *, seed: int, scale: float) -> Played:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(play, number, batch, seed=seed, scale=scale).result()


def play_all(wanted: Batches, *, jobs: int, seed: int, scale: float) -> Generator[Played]:
    """As they end. What interrupts this ends the batches that run, and their servers."""
    one = partial(alone, seed=seed, scale=scale)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for each in as_completed([pool.submit(one, number, batch) for number, batch in wanted]):
                yield each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
