"""Deliberate breakages of the product, each of which must turn cells of the matrix red; and lies of the world."""

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(__file__).parent / "sabotage"


def environment(name: str) -> dict[str, str]:
    """Of a stack whose workers are to be broken like that."""
    return {"PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}", "EVACUATE_SABOTAGE": name}


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
    from services.sql.hosts import returning
    from services.sql.ledger import evidence

    def keep(session: Any, host: str, incarnation: str | None, why: str, **_: Any) -> bool:
        return evidence.current_evidence(session, host, incarnation) is not None

    evidence.void = returning.void = keep


def unshielded_unwinding() -> None:
    """A cancel tears whatever is under way."""
    from workflows.engine.compensation import Shield

    async def run(self: object, work: Coroutine[Any, Any, Any], *, pass_on: bool = False) -> Any:
        return await work

    Shield.run = run


def compensation_left_out() -> None:
    """Ports stay where the last attempt bound them."""
    from workflows.evacuating.backward import Backward

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
    ProcessFencing.power_off = lambda self, host, boot, **how: None


def errors_are_silence() -> None:
    """A worker that answers with an error is taken for one that does not answer."""
    from workflows.engine import probing
    from workflows.engine.failures import Failure

    ask = probing.ask

    async def deaf(*about: Any, **how: Any) -> Any:
        answer = await ask(*about, **how)
        return None if isinstance(answer, Failure) else answer

    probing.ask = deaf


def store_that_nobody_doubts() -> None:
    """What hosts and evacuations have seen of the store is not compared with it."""
    from services.sql.ledger import position

    position.why_not = lambda *_: None
    position.require_sound_for = lambda session, *_: position.require_sound(session)


def power_that_nobody_reads() -> None:
    """An operator's word stands, whatever the power of the host says."""
    from activities.power import PowerReader
    from evacuation.model import PowerReading

    PowerReader.read = lambda *_: PowerReading.UNKNOWN


def begin_that_does_not_look() -> None:
    """It begins in whatever boot the source is by now."""
    from services.sql.ledger import source

    source._refuse_other_boot = lambda *_: None


def cut_that_asks_nobody() -> None:
    """A host's power is cut whatever boot is there by now, and nobody is held while it is cut."""
    from services.fencing import ProcessFencing
    from services.sql.hosts import returning
    from services.sql.ledger import cutting, evidence, fences

    announce, cut = cutting.begin_cut, ProcessFencing.power_off

    def begin(session: Any, request: Any, *announced: Any) -> Any:
        now = evidence.registered_boot(session, request.host)
        return announce(session, request.model_copy(update={"incarnation": now}), *announced)

    evidence._superseded = lambda *_: None
    fences.begin_cut, fences.require_cut = begin, lambda *_: None
    returning.is_being_cut = lambda *_: False
    ProcessFencing.power_off = lambda self, host, _boot, **how: cut(self, host, None, **how)


def store_of_anybody() -> None:
    """Workers of two control planes write to one store."""
    from services.sql.ledger import position

    position._require_owner = lambda row, _: row.owner


def start_that_is_forgotten() -> None:
    """Whoever takes an evacuation over destroys what it has started."""
    from services.hypervisors.process.driver import ProcessHypervisor

    def undo(self: Any, call: Any) -> bool:
        self.destroy(call.instance_id, call.epoch)
        return False

    ProcessHypervisor.settle = undo


def disk_made_by_a_spawn() -> None:
    """A disk that is not there is made, by whoever looks for it."""
    from services.hypervisors.process import launch, making

    look = making.why_unusable

    def make(path: Path, instance_id: str) -> str | None:
        making.make_disk(path, instance_id)
        return look(path, instance_id)

    launch.why_unusable = make


def deletion_that_waits_for_nobody() -> None:
    """What a guest on a silent host may still write to is given to others."""
    from evacuation.messages import HostGuest
    from services.sql.instances import deleting, holdings

    def proven(session: Any, instance: Any) -> None:
        residence = deleting.unproven_residence(session, instance.id)
        if residence is not None:
            there = HostGuest(host=residence.host, incarnation="", instance_id=instance.id, epoch=residence.epoch)
            residence.proof = deleting.destroyed(there)
            session.flush()
        remove(session, instance)

    remove = holdings.remove_instance
    deleting.remove_instance = proven


def claim_without_a_look() -> None:
    """A host is taken whether it has room or not."""
    from services.cloud.sql import allocations

    allocations.take_turn = lambda *_: None
    allocations.swap = lambda *_: True


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
        errors_are_silence,
        store_that_nobody_doubts,
        power_that_nobody_reads,
        begin_that_does_not_look,
        cut_that_asks_nobody,
        store_of_anybody,
        start_that_is_forgotten,
        disk_made_by_a_spawn,
        deletion_that_waits_for_nobody,
        claim_without_a_look,
    )
}
