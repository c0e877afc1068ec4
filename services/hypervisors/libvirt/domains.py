"""The domains of one libvirt. Each call on one says what is so afterwards, and may be repeated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evacuation.epochs import UNMARKED
from services.definitions.libvirt.metadata import epoch_in, mark_text
from services.definitions.libvirt.names import NAMESPACE, PREFIX
from services.hypervisors.libvirt.api import CRASHED, IO_ERROR, STARTING, State, state_word
from services.hypervisors.libvirt.calls import no_beat
from services.hypervisors.libvirt.connection import LibvirtConnection


@dataclass(frozen=True)
class Seen:
    """A domain as libvirt has it now. `starting`: somebody's create is under way. `state`: one word for it."""

    instance_id: str
    name: str
    epoch: int
    active: bool
    paused: bool
    starting: bool
    mark: str | None
    state: str = "running"

    @property
    def crashed(self) -> bool:
        """Active as libvirt has it, with its disks open; it does not go on, whatever is done but a new start."""
        return self.active and self.state == CRASHED

    @property
    def stopped(self) -> bool:
        """It does not go on by itself, and nobody has asked for that."""
        return self.active and self.state in (CRASHED, IO_ERROR)


class Domains:
    """All raise LibvirtError, HypervisorUnavailableError, HypervisorUnableError."""

    def __init__(self, connection: LibvirtConnection) -> None:
        self._connection = connection

    def all(self) -> list[Seen]:
        return [_seen(each) for each in self._connection.reading("all", NAMESPACE)]

    def find(self, instance_id: str) -> Seen | None:
        found = self._connection.reading("find", instance_id, NAMESPACE)
        return _seen(found) if found is not None else None

    def definition(self, instance_id: str) -> str | None:
        """What it is started from the next time, secrets included."""
        return self._connection.reading("definition", instance_id)

    def live_definition(self, instance_id: str) -> str | None:
        """Of what runs, without secrets; None: it does not run."""
        return self._connection.reading("live_definition", instance_id)

    def autostarts(self, instance_id: str) -> bool:
        return bool(self._connection.reading("autostart", instance_id))

    def put_off_autostart(self, instance_id: str) -> None:
        """It is not started by libvirtd by itself."""
        self._connection.run("set_autostart", instance_id, False)

    def define(self, xml: str) -> None:
        """Defined, and never started by libvirtd by itself."""
        self._connection.run("define", xml)

    def mark(self, instance_id: str, epoch: int) -> None:
        """The domain carries this epoch, running or not, and is not started by libvirtd by itself."""
        seen = self.find(instance_id)
        text = mark_text(instance_id, epoch, seen.mark if seen else None)
        self.put_off_autostart(instance_id)
        self._connection.run("mark", instance_id, text, PREFIX, NAMESPACE)

    def create(self, instance_id: str, *, timeout: float, beat: Callable[[str], None] = no_beat) -> None:
        """Running, or starting: created here or meanwhile by somebody else."""
        self._connection.run("create", instance_id, timeout=timeout, beat=beat)

    def drop_saved_state(self, instance_id: str) -> bool:
        """Whether there was one. Afterwards a start brings up the guest that is defined, and none that was saved."""
        return self._connection.run("drop_saved_state", instance_id)

    def destroy(self, instance_id: str) -> None:
        """Sent, and taken note of: not running is as good. Look afterwards."""
        self._connection.run("destroy", instance_id)

    def undefine(self, instance_id: str) -> None:
        """No definition is left. The guest's disks, firmware variables and TPM state are."""
        self._connection.run("undefine", instance_id)

    def suspend(self, instance_id: str) -> None:
        self._connection.run("suspend", instance_id)

    def resume(self, instance_id: str) -> None:
        self._connection.run("resume", instance_id)


def _seen(found: dict[str, Any]) -> Seen:
    state = state_word(found["state"], found["reason"])
    starting = state == STARTING
    return Seen(
        instance_id=found["uuid"],
        name=found["name"],
        epoch=epoch_in(found["mark"]) if found["mark"] else UNMARKED,
        active=found["active"],
        paused=found["active"] and found["state"] in (State.PAUSED, State.PMSUSPENDED) and not starting,
        starting=starting,
        mark=found["mark"],
        state=state,
    )
