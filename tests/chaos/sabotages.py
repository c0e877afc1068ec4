"""Deliberate breakages of the product, each of which must turn cells of the matrix red; and lies of the world."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sabotage"


def environment(name: str) -> dict[str, str]:
    """Of a stack whose workers are to be broken like that."""
    return {"PYTHONPATH": str(FOLDER), "EVACUATE_SABOTAGE": name}


def no_last_look() -> None:
    """A late spawn does not ask whether anybody waits for it. The tombstone has to stop it."""
    from activities.liveness import LastLook

    def blind(self: object) -> None:
        pass

    LastLook.__call__ = blind


def no_tombstone() -> None:
    """What was destroyed may be created again, and nobody looks."""
    from services.hypervisors.process.records import GuestRecords

    def forget(self: object, instance_id: str, epoch: int) -> None:
        pass

    no_last_look()
    GuestRecords.bury = forget


def stale_evidence() -> None:
    """Evidence about a host that was seen alive since is as good as any."""
    from services.sql import evidence, returning

    def keep(session: Any, host: str, incarnation: str | None, why: str) -> bool:
        return evidence.current_evidence(session, host, incarnation) is not None

    evidence.void = returning.void = keep


def unshielded_unwinding() -> None:
    """A cancel tears whatever is under way."""
    from workflows.compensation import Shield

    async def run(self: object, work: Coroutine[Any, Any, Any], *, pass_on: bool = False) -> Any:
        return await work

    Shield.run = run


def compensation_left_out() -> None:
    """Ports stay where the last attempt bound them."""
    from workflows.backward import Backward

    async def leave(self: object) -> None:
        pass

    Backward._tear_down_network = leave


def spawn_that_does_not_read() -> None:
    """A guest is created without a look at what runs there."""
    from services.hypervisors.process.driver import ProcessHypervisor

    read = ProcessHypervisor.spawn

    def blind(self: Any, guest: Any, **how: Any) -> Any:
        seen = ProcessHypervisor._running
        ProcessHypervisor._running = lambda *_, **__: []
        try:
            return read(self, guest, **how)
        finally:
            ProcessHypervisor._running = seen

    ProcessHypervisor.spawn = blind


def lying_fence() -> None:
    """Says "off", and switches nothing off. The product is whole: the world is not."""
    from services.fencing import ProcessFencing

    ProcessFencing.is_off = lambda self, host: True


SABOTAGES: dict[str, Callable[[], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        no_last_look,
        no_tombstone,
        stale_evidence,
        unshielded_unwinding,
        compensation_left_out,
        spawn_that_does_not_read,
        lying_fence,
    )
}
