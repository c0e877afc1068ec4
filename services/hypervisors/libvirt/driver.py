"""The hypervisor of one host whose guests are domains of libvirt. What runs is read from libvirt, always."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from evacuation import messages as m
from evacuation.epochs import FIRST_EPOCH, UNMARKED
from evacuation.errors import DestinationUnableError, SignalPatternError, SpawnFailedError
from evacuation.model import PowerState, RootDisk
from evacuation.ports import HostIdentity
from services.definitions.libvirt.definition import disk_files, parse_definition
from services.hypervisors.libvirt.ability import Ability, own_address
from services.hypervisors.libvirt.api import MIGRATING, LibvirtError
from services.hypervisors.libvirt.calls import no_beat
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.domains import Domains, Seen
from services.hypervisors.libvirt.failures import unavailable
from services.hypervisors.libvirt.guests import LibvirtGuests
from services.hypervisors.libvirt.identity import Identity
from services.hypervisors.libvirt.live_disks import has_volumes
from services.hypervisors.libvirt.locality import Locality
from services.hypervisors.libvirt.lost import Lost, LostGuests
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.plain import find_root_disk
from services.hypervisors.memory import GuestFiles, GuestMemory

START_WAIT = 30.0
SETTLE_WAIT = 10.0
PAUSE_WAIT = 10.0


class LibvirtHypervisor:
    """Implements the port `Hypervisor`. Whatever hangs in libvirt, every call returns or raises in bounded time."""

    def __init__(self, options: LibvirtOptions) -> None:
        self._options = options
        self._connection = LibvirtConnection(options.uri, options.host, timeout=options.call_timeout)
        self._domains = Domains(self._connection)
        self._identity = Identity(options, self._connection)
        self._locality = Locality(options.uri, self._connection)
        self._ability = Ability(options, self._connection)
        files = GuestFiles(options.state_dir)
        self._memory = GuestMemory(files, options.host)
        self._lost = LostGuests(options, self._connection, self._domains, files, self._memory)
        self._guests = LibvirtGuests(options, self._connection, self._domains, files, self._ability, self._lost)

    def identity(self) -> HostIdentity:
        """Raises HypervisorUnableError, too, when it is another machine's libvirt."""
        with self._translated():
            self._locality.require_if_it_answers()
            return self._identity.read().model_copy(update={"memory": self._memory.mark()})

    def inventory(self) -> tuple[m.GuestState, ...]:
        """With those that libvirt does not know."""
        with self._translated():
            self._locality.require()
            running = self._lost.running()
            known = self._domains.all()
            lost = self._lost.among(running, known)
        ended = {each.instance_id for each in lost if not each.beside}
        found = [*map(_lost_state, lost), *(_state(seen) for seen in known if seen.instance_id not in ended)]
        return tuple(sorted(found, key=lambda guest: (guest.instance_id, guest.epoch)))

    def prepare(self, message: m.PrepareDestination) -> m.Connector:
        if message.root_disk is RootDisk.LOCAL:
            raise DestinationUnableError(f"the root disk of {message.name} is not on shared storage")
        with self._translated():
            self._ability.require_domain_type()
            self._ability.require_shared_dirs()
            seen = self._domains.find(message.instance_id)
            self._require_no_foreign_guest(seen, message.epoch)
            self._lost.require_none(message.name, message.instance_id)
            self._ability.require_files(message.name, self._files_of(message, seen))
            return m.Connector(
                host=self._options.host,
                incarnation=self._identity.read().incarnation,
                ip=own_address(),
                initiator=f"iqn.2026-01.org.evacuate:{self._options.host}",
            )

    def _files_of(self, message: m.PrepareDestination, seen: Seen | None) -> tuple[str, ...]:
        """As the guest's own definition has them, or as one would be made here. A template is filled later."""
        if message.files or message.defined or message.root_disk is RootDisk.VOLUME or self._options.template:
            return message.files
        here = self._domains.definition(message.instance_id) if seen is not None else None
        if here is not None:
            return disk_files(parse_definition(here).disks)
        return (str(find_root_disk(message.instance_id, message.name, self._options)[0]),)

    def connect_volumes(self, message: m.ConnectVolumes) -> None:
        """QEMU itself opens network volumes: the host makes sure that it can. Raises StaleEpochError when that epoch
        was disconnected or destroyed here, DestinationUnableError."""
        with self._memory.exclusive(message.instance_id):
            self._memory.require_not_buried(message.instance_id, message.epoch)
            self._ability.require_volumes(message.disks)
            self._memory.connect(message)

    def disconnect_volumes(self, message: m.GuestCall) -> None:
        with self._memory.exclusive(message.instance_id):
            self._memory.disconnect(message.instance_id, message.epoch)

    def spawn(self, guest: m.GuestSpec, *, last_look: Callable[[], None], beat: Callable[[str], None]) -> m.GuestState:
        with self._memory.exclusive(guest.instance_id, beat), self._translated():
            self._memory.require_not_buried(guest.instance_id, guest.epoch)
            seen = self._guests.settled_start(guest.instance_id, within=START_WAIT, beat=beat)
            seen = self._marked(seen, guest)
            self._require_no_foreign_guest(seen, guest.epoch)
            self._lost.end_called_off(guest.instance_id)
            self._lost.require_none(guest.name, guest.instance_id)
            if seen is not None and seen.active and not seen.crashed and self._is_to_be_kept(guest, seen):
                self._keep(guest, seen, last_look, beat)
                note = ""
            else:
                if seen is not None and seen.active:
                    last_look()
                    self._guests.end(seen)
                note = self._guests.create(guest, seen, last_look=last_look, beat=beat)
        return m.GuestState(instance_id=guest.instance_id, epoch=guest.epoch, power_state=guest.power_state, note=note)

    def settle(self, message: m.GuestCall) -> bool:
        with self._memory.exclusive(message.instance_id), self._translated():
            if self._is_as_wanted(message):
                return True
            self._destroy(message.instance_id, message.epoch)
            return False

    def destroy(self, instance_id: str, epoch: int) -> None:
        with self._memory.exclusive(instance_id), self._translated():
            self._destroy(instance_id, epoch)

    def bury(self, instance_id: str, epoch: int) -> None:
        with self._memory.exclusive(instance_id):
            self._memory.bury(instance_id, epoch)

    def pause(self, instance_id: str, epoch: int) -> None:
        """A guest that does not run is as good as paused."""
        deadline = time.monotonic() + PAUSE_WAIT
        with self._translated():
            while (seen := self._domains.find(instance_id)) and seen.epoch == epoch and _may_go_on(seen):
                if time.monotonic() > deadline:
                    raise SpawnFailedError(f"{seen.name} does not pause on {self._options.host}: it is {seen.state}")
                if seen.starting or seen.state == MIGRATING:
                    time.sleep(self._options.poll)
                else:
                    self._domains.suspend(instance_id)
            self._lost.pause(instance_id, epoch)

    def _marked(self, seen: Seen | None, guest: m.GuestSpec) -> Seen | None:
        """A guest that was here before Evacuate gets its mark; only the first epoch can be such a guest's."""
        if seen is None or seen.epoch != UNMARKED or guest.epoch != FIRST_EPOCH:
            return seen
        self._domains.mark(guest.instance_id, guest.epoch)
        return self._domains.find(guest.instance_id)

    def _require_no_foreign_guest(self, seen: Seen | None, epoch: int) -> None:
        """Running with another epoch, or defined with a newer one. What an older one left defined is replaced."""
        if seen is not None and seen.epoch != epoch and (seen.active or seen.epoch > epoch):
            raise DestinationUnableError(
                f"a guest of {seen.instance_id} with epoch {seen.epoch} is on {self._options.host} already",
                remedy="see which evacuation it belongs to, or return the host",
            )

    def _is_to_be_kept(self, guest: m.GuestSpec, seen: Seen) -> bool:
        """A guest that was started from what its epoch was earlier may have volumes that are dead for ever. One that
        migrates is not ended: its other half may run."""
        if guest.power_state is not PowerState.RUNNING:
            raise SpawnFailedError(f"{guest.name} runs on {self._options.host} and is wanted {guest.power_state}")
        return seen.state == MIGRATING or self._has_volumes(guest.instance_id, guest.disks)

    def _has_volumes(self, instance_id: str, disks: Iterable[m.GuestDisk]) -> bool:
        live = self._domains.live_definition(instance_id)
        return live is not None and has_volumes(live, disks)

    def _keep(self, guest: m.GuestSpec, seen: Seen, last_look: Callable[[], None], beat: Callable[[str], None]) -> None:
        """The guest runs already: resumed if it was paused, and waited for if it has not said that it is up."""
        if seen.paused:
            last_look()
            self._guests.resume(seen, guest.name)
        awaited = self._guests.awaited(guest.instance_id, guest.epoch)
        if awaited is not None:
            self._guests.wait_for_signal(guest.name, awaited, beat, within=self._options.signal_timeout)

    def _is_as_wanted(self, message: m.GuestCall) -> bool:
        """Running counts only once the guest has said that it is up: it gets a while to do so."""
        if self._memory.is_buried(message.instance_id, message.epoch):
            return False
        seen = self._guests.settled_start(message.instance_id, within=SETTLE_WAIT, beat=no_beat)
        if seen is None or seen.epoch != message.epoch or self._lost.of(message.instance_id):
            return False
        if message.power_state is not PowerState.RUNNING:
            return not seen.active
        if not seen.active or seen.paused or seen.crashed:
            return False
        connected = self._memory.connected(message.instance_id, message.epoch)
        return self._has_volumes(message.instance_id, connected) and self._is_up(seen)

    def _is_up(self, seen: Seen) -> bool:
        awaited = self._guests.awaited(seen.instance_id, seen.epoch)
        if awaited is None:
            return True
        try:
            self._guests.wait_for_signal(seen.name, awaited, no_beat, within=SETTLE_WAIT)
        except (SpawnFailedError, SignalPatternError):
            return False
        return True

    def _destroy(self, instance_id: str, epoch: int) -> None:
        self._memory.bury(instance_id, epoch)
        self._guests.remove(instance_id, epoch)

    @contextmanager
    def _translated(self) -> Generator[None]:
        """libvirt's own errors do not leave this driver."""
        try:
            yield
        except LibvirtError as error:
            raise unavailable(error, host=self._options.host) from error


def _state(seen: Seen) -> m.GuestState:
    power = PowerState.RUNNING if seen.active else PowerState.SHUTDOWN
    paused = seen.paused or seen.crashed
    return m.GuestState(instance_id=seen.instance_id, epoch=seen.epoch, power_state=power, paused=paused)


def _lost_state(lost: Lost) -> m.GuestState:
    return m.GuestState(
        instance_id=lost.instance_id, epoch=lost.epoch, power_state=PowerState.RUNNING, paused=lost.qemu.stopped
    )


def _may_go_on(seen: Seen) -> bool:
    """By itself: what migrates is only paused until that is over."""
    return seen.active and not seen.crashed and (not seen.paused or seen.state == MIGRATING)
