"""Plays batches, each on a stack of its own, and gives the verdicts."""

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.plan import KINDS, Cell, Key, cells
from tests.chaos.play import END, Batch, Verdict, verdict
from tests.chaos.servers import Postgres, database, postgres
from tests.chaos.world import bystanders, fleet
from tests.support.stack import Stack, temporal_server

Say = Callable[[str], None]
SCALE = 1.0
"""Of the timeouts: as in production, where a step is held until the fault is done from outside."""
HOLD = "5"
"""Seconds (times the scale) for which a silent destination is asked before it is fenced."""
SLOTS = {"EVACUATE_HOST_ACTIVITIES": "20"}
"""As many as a batch has cells: a step that is held takes one until the others have come to theirs."""
QUICK = 0.4
"""Where the worker strikes itself, and the timeouts are all that is waited for."""


class Matrix:
    """Servers that the stacks share, for as long as it is open. `settings`: more of the stacks' environment."""

    def __init__(
        self, *, seed: int, scale: float = SCALE, settings: dict[str, str] | None = None, patience: float = END
    ) -> None:
        """`patience`: seconds after which an evacuation that has not ended is taken for stuck."""
        self._seed = seed
        self._patience = patience
        self._scale = scale
        self._settings = settings or {}
        self._open = ExitStack()
        self._postgres: Postgres | None = None
        self._temporal = ""
        self.strikes = 0
        self.instances = 0

    def __enter__(self) -> "Matrix":
        self._directory = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="evacuate-chaos-")))
        self._directory.chmod(0o755)
        self._temporal = self._open.enter_context(temporal_server(self._directory))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def play(self, batch: Sequence[Cell], number: int) -> list[Verdict]:
        """The verdicts of all its cells, the impossible ones among them."""
        impossible = [verdict(cell, "n/a", reasons=(cell.impossible,)) for cell in batch if cell.impossible]
        possible = [cell for cell in batch if not cell.impossible]
        return impossible + (self._play(possible, number) if possible else [])

    def _play(self, batch: Sequence[Cell], number: int) -> list[Verdict]:
        kind, disk_lock = batch[0].kind, batch[0].disk_lock
        self.instances += len(batch) + len(bystanders(kind))
        self.strikes += 1 if kind.scope == "process" else len(batch)
        name = f"{kind.name}-{number}-{'locks' if disk_lock else 'no-locks'}"
        with ExitStack() as own:
            scale = self._scale * (QUICK if kind.rule else 1)
            settings = {"EVACUATE_TIME_SCALE": str(scale), "EVACUATE_HOLD": HOLD, **SLOTS} | self._settings
            if kind.rule == "stall":
                # What hangs is given up, so that it comes too late: `slow` is the kind that is waited for.
                settings["EVACUATE_HOST_PATIENCE"] = "0"
            if kind.false_word:
                settings["EVACUATE_FENCING"] = "operator"
            server = self._server() if kind.store == "postgres" or not disk_lock else None
            if server is not None:
                settings["EVACUATE_DATABASE_URL"] = own.enter_context(database(server))
            stack = self._stack(name, kind.name == "temporal-killed", settings)
            own.callback(stack.down)
            try:
                stack.up(fleet(batch, disk_lock=disk_lock), [])
                return Batch(stack, batch, server, seed=f"{self._seed}/{name}", patience=self._patience).play()
            except Exception as error:
                return [verdict(cell, "red", reasons=(f"{type(error).__name__}: {error}",)) for cell in batch]

    def _stack(self, name: str, own_temporal: bool, settings: dict[str, str]) -> Stack:
        directory = self._directory / name
        directory.mkdir()
        return Stack(directory, None if own_temporal else self._temporal, settings=settings)

    def _server(self) -> Postgres:
        if self._postgres is None:
            data = self._directory / "postgres"
            data.mkdir()
            self._postgres = self._open.enter_context(postgres(data))
        return self._postgres


def batches(
    *, kinds: Sequence[str] = (), steps: Sequence[str] = (), locks: Sequence[bool] = (True, False)
) -> Iterator[tuple[int, tuple[Cell, ...]]]:
    """Those of the whole matrix that have a wanted cell, with the wanted cells only."""
    for kind in KINDS:
        for disk_lock in locks:
            for number, batch in enumerate(cells(kind, disk_lock), start=1):
                wanted = tuple(cell for cell in batch if not steps or cell.step in steps)
                if wanted and (not kinds or kind.name in kinds):
                    yield number, wanted


def batches_with(keys: Collection[Key]) -> Iterator[tuple[int, tuple[Cell, ...]]]:
    """The whole batches in which one of the cells is."""
    for number, batch in batches():
        if any(cell.key in keys for cell in batch):
            yield number, batch
