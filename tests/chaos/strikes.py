"""How each fault is done from outside, while every struck step is held between its start and its answer."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from embedded.namespace import wait_until_ready
from embedded.processes import ROLE, with_role
from evacuation.model import Evidence, EvidenceKind
from evacuation.names import return_host_id
from services.runtime.stack_record import settings_for
from tests.chaos import gone, restored
from tests.chaos.evacuations import Evacuations
from tests.chaos.plan import OBJECTS
from tests.chaos.servers import Postgres
from tests.chaos.world import DESTINATION, SOURCE
from tests.support.stack import Stack, plain

AWAY = 20.0
"""Seconds for which the store does not answer."""
TAKEN_OVER = 2.0
"""Seconds after which the request that follows a termination has taken over what is open, as a rule: the call that was
held comes too late then. After a reset it comes at once, and may come first."""
NOTICED = 30.0
"""Seconds within which a worker that thawed is on its way back."""
FROZEN = 30.0
"""Seconds (times the scale) after which a stopped worker thaws: longer than any step is waited for."""
ROOT = Path(__file__).parent.parent.parent


def say_off(stack: Stack, host: str) -> None:
    """An operator's word, wrong, as it would have been recorded while nothing contradicted it."""
    with stack.services() as services:
        boot = next(row.incarnation for row in services.views.hosts() if row.name == host)
        word = {"kind": EvidenceKind.OPERATOR, "host": host, "incarnation": boot, "who": "somebody"}
        said = Evidence.model_validate({**word, "reason": "wrong: it lives", "at": datetime.now(UTC)})
        services.evidence.record_evidence(said)


class Strike:
    """`release` takes the hold off the struck steps. `stand_in`: another control worker is started for a frozen one;
    without it there are several, and it is the newest one that is struck."""

    def __init__(
        self,
        stack: Stack,
        evacuations: Evacuations,
        postgres: Postgres | None,
        scale: float,
        release: Callable[[], None],
        *,
        destination: str = DESTINATION,
        stand_in: bool = True,
    ) -> None:
        self._stack = stack
        self._evacuations = evacuations
        self._postgres = postgres
        self._scale = scale
        self._release = release
        self._destination = destination
        self._stand_in = stand_in
        self.again: list[asyncio.Task[None]] = []

    async def do(self, kind: str, names: Sequence[str]) -> None:
        """The fault has been done, and what is to be mended from outside is mended."""
        strikes: dict[str, Callable[[Sequence[str]], Awaitable[None]]] = {
            "cancelled": self._cancel,
            "terminated": self._terminate,
            "reset": self._reset,
            "control-killed": lambda _: self._kill("control"),
            "host-worker-killed": lambda _: self._kill(self._destination),
            "destination-dead": lambda _: self._power_off(),
            "destination-boots-again": lambda _: self._boot_destination(),
            "control-frozen": lambda _: self._freeze("control"),
            "host-worker-frozen": lambda _: self._freeze(self._destination),
            "source-returns": lambda _: self._boot_source(),
            "object-gone": self._delete_objects,
            "host-row-gone": lambda _: self._delete_host_row(),
            "store-restored": lambda _: asyncio.to_thread(restored.back_up, self._stack),
            "second-control-plane": self._ask_elsewhere,
            "word-against-power": lambda _: asyncio.to_thread(say_off, self._stack, SOURCE),
            "returns-before-begin": lambda _: self._bring_back_source(),
            "source-thaws": lambda _: self._thaw_source(),
            "temporal-killed": lambda _: self._kill_temporal(),
            "postgres-killed": lambda _: self._kill_postgres(),
            "store-unreachable": lambda _: self._freeze_postgres(),
        }
        await strikes[kind](names)
        self._release()

    async def _cancel(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._evacuations.cancel(name) for name in names))

    async def _terminate(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._evacuations.terminate(name) for name in names))
        self.again += [asyncio.create_task(self._evacuations.ask(name)) for name in names]
        await asyncio.sleep(TAKEN_OVER)

    async def _reset(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._evacuations.reset(name) for name in names))

    async def _kill(self, role: str) -> None:
        os.kill(self._worker(role), signal.SIGKILL)

    async def _power_off(self) -> None:
        answer = await asyncio.to_thread(self._stack.run, f"host kill {self._destination}")
        assert answer.code == 0, answer

    async def _boot_destination(self) -> None:
        await self._power_off()
        answer = await asyncio.to_thread(self._stack.run, f"host start {self._destination} --no-wait")
        assert answer.code == 0, answer

    async def _freeze(self, role: str) -> None:
        """Released while it is stopped: the held step goes on when it thaws, and nobody waits for it any more."""
        worker = self._worker(role)
        os.kill(worker, signal.SIGSTOP)
        self._release()
        if role == "control" and self._stand_in:
            self._start_another()
        await asyncio.sleep(FROZEN * self._scale)
        # It may have been fenced with its host meanwhile.
        try:
            os.kill(worker, signal.SIGCONT)
        except ProcessLookupError:
            return

    def _worker(self, role: str) -> int:
        """Of several control workers the older ones are spared, also while a newer one is being started again."""
        several = role == "control" and not self._stand_in
        return self._stack.worker(role, newest=several, of=2 if several else 1)

    async def _ask_elsewhere(self, names: Sequence[str]) -> None:
        """Of another control plane, which is refused."""
        other = copy(self._stack)
        other.environment = self._stack.environment | {"EVACUATE_TEMPORAL_NAMESPACE": f"other-{uuid4().hex[:12]}"}
        with other.as_environment():
            await wait_until_ready(settings_for(), timeout=NOTICED)
        self._start_another(other)
        for name in names:
            answer = await asyncio.to_thread(other.run, ["instance", "evacuate", name, "--no-wait"])
            assert (answer.code, "store claim" in plain(answer.err)) == (2, True), answer

    def _start_another(self, stack: Stack | None = None) -> None:
        """A second control worker; it ends with the stack."""
        environment = os.environ | (stack or self._stack).environment | {ROLE: "control"}
        log = self._stack.directory / "second-control.log"
        with log.open("ab") as output:
            subprocess.Popen(
                [sys.executable, str(ROOT / "worker.py"), "control"],
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _boot_source(self) -> None:
        answer = await asyncio.to_thread(self._stack.run, f"host start {SOURCE} --no-wait")
        assert answer.code == 0, answer
        # Until its worker has registered the new boot.
        await asyncio.to_thread(self._stack.until, self._source_is_back, f"{SOURCE} registers")

    async def _delete_objects(self, names: Sequence[str]) -> None:
        for name in names:
            step = name.rsplit("-", 1)[0].replace("-", "_")
            await asyncio.to_thread(gone.delete, self._stack, OBJECTS[step], name)

    async def _delete_host_row(self) -> None:
        await asyncio.to_thread(gone.delete_host, self._stack, self._destination)

    async def _bring_back_source(self) -> None:
        answer = await asyncio.to_thread(self._stack.run, f"host start {SOURCE}")
        assert answer.code == 0, answer

    async def _thaw_source(self) -> None:
        """It goes on where it was stopped: what the operator said is not so. Its worker notices, and comes back."""
        before = await self._evacuations.run_of(return_host_id(SOURCE))
        os.kill(self._stack.worker(SOURCE), signal.SIGCONT)
        async with asyncio.timeout(NOTICED):
            while (run := await self._evacuations.run_of(return_host_id(SOURCE))) == before:
                await asyncio.sleep(0.1)
        await self._evacuations.until_has_done(return_host_id(SOURCE), run, "register_host")

    def _source_is_back(self) -> bool:
        with self._stack.services() as services:
            view = next(each for each in services.views.hosts() if each.name == SOURCE)
        return view.incarnation == self._stack.world().boots[SOURCE]

    async def _kill_temporal(self) -> None:
        (server,) = with_role(Path(self._stack.environment["EVACUATE_STATE_DIR"]), "temporal")
        os.kill(server.pid, signal.SIGKILL)

    async def _kill_postgres(self) -> None:
        assert self._postgres is not None
        self._postgres.kill()
        await asyncio.to_thread(self._postgres.start)

    async def _freeze_postgres(self) -> None:
        assert self._postgres is not None
        self._postgres.freeze()
        self._release()
        await asyncio.sleep(AWAY)
        self._postgres.thaw()
