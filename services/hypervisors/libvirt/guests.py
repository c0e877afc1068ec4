"""How one guest comes up on a host, and how it goes. The caller holds its lock."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.etree.ElementTree import Element

import structlog

from evacuation import messages as m
from evacuation.errors import HypervisorUnavailableError, SpawnFailedError
from evacuation.model import PowerState
from services.definitions.libvirt.definition import disk_files, disks_of
from services.hypervisors.libvirt.ability import Ability
from services.hypervisors.libvirt.announce import announce
from services.hypervisors.libvirt.api import ASLEEP, IO_ERROR, MIGRATING, LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.domains import Domains, Seen
from services.hypervisors.libvirt.failures import spawn_failure
from services.hypervisors.libvirt.lost import LostGuests
from services.hypervisors.libvirt.options import LibvirtOptions
from services.hypervisors.libvirt.rewriting import domain_for, text_of
from services.hypervisors.libvirt.signals import AwaitedSignal, Signals, awaited_signal
from services.hypervisors.memory import GuestFiles
from services.runtime.durable_files import read, remove_durably, write

Beat = Callable[[str], None]
log = structlog.stdlib.get_logger("hypervisor")
GONE_TIMEOUT = 15.0
GOES_ON = 2.0
"""Seconds in which a guest whose disk failed, and that was resumed, is paused again if the disk still does."""


class LibvirtGuests:
    """Guests brought up, found and destroyed. The caller holds the guest's lock."""

    def __init__(
        self,
        options: LibvirtOptions,
        connection: LibvirtConnection,
        domains: Domains,
        files: GuestFiles,
        ability: Ability,
        lost: LostGuests,
    ) -> None:
        self._options = options
        self._connection = connection
        self._domains = domains
        self._files = files
        self._ability = ability
        self._lost = lost
        self._signals = Signals(connection)

    def create(self, guest: m.GuestSpec, before: Seen | None, *, last_look: Callable[[], None], beat: Beat) -> str:
        """Defined, looked, created, and up by its own word; or nothing of it is left, and what was defined before is
        defined again. Answers what else it did. Raises DestinationUnableError, DiskLockedError, AttachmentLostError,
        SpawnFailedError, SignalPatternError, HypervisorUnavailableError, HypervisorUnableError."""
        old = self._domains.definition(guest.instance_id) if before else None
        domain = domain_for(guest, self._options, local=old)
        self._ability.require_files(guest.name, disk_files(disks_of(domain)))
        awaited = awaited_signal(domain, guest, self._options)
        self._signals.require_sound(awaited, beat)
        try:
            note = self._drop_saved_state(guest, beat) if before else ""
            self._define(guest, domain, before)
            last_look()
            if guest.power_state is PowerState.RUNNING:
                self._start(guest, awaited, beat)
                self.wait_for_signal(guest.name, awaited, beat, within=self._options.signal_timeout)
        except BaseException:
            self._back_out(guest, old)
            raise
        return note

    def _drop_saved_state(self, guest: m.GuestSpec, beat: Beat) -> str:
        """A start would bring back an older guest from it: its memory, its definition, its disks. Losing it is what a
        crash would have lost."""
        try:
            if not self._domains.drop_saved_state(guest.instance_id):
                return ""
        except LibvirtError as error:
            raise spawn_failure(error, guest=guest.name, host=self._options.host) from error
        note = f"dropped what was saved of {guest.name} on {self._options.host} (virsh managedsave): it boots again"
        log.warning(note, instance=guest.instance_id)
        beat(note)
        return note

    def _define(self, guest: m.GuestSpec, domain: Element, before: Seen | None) -> None:
        try:
            if before is not None and before.name != domain.findtext("name"):
                self._domains.undefine(guest.instance_id)
            self._domains.define(text_of(domain))
        except LibvirtError as error:
            raise spawn_failure(error, guest=guest.name, host=self._options.host) from error

    def _start(self, guest: m.GuestSpec, awaited: AwaitedSignal, beat: Beat) -> None:
        awaited.console.unlink(missing_ok=True)
        write(self._signal_file(guest.instance_id), awaited)
        try:
            self._domains.create(guest.instance_id, timeout=self._options.create_timeout, beat=beat)
        except LibvirtError as error:
            raise spawn_failure(error, guest=guest.name, host=self._options.host) from error

    def _back_out(self, guest: m.GuestSpec, old: str | None) -> None:
        """The guest's own failure is told, not that of the clearing up: whoever settles clears up again."""
        with suppress(Exception):
            self.remove(guest.instance_id, guest.epoch)
            if old is not None:
                self._domains.define(old)

    def wait_for_signal(self, name: str, awaited: AwaitedSignal, beat: Beat, *, within: float) -> None:
        """Returns once the guest has said that it is up; `within` is in seconds. A libvirtd that is started again
        meanwhile is no reason to give up. Raises SpawnFailedError (it ended, or said nothing in time),
        SignalPatternError."""
        deadline = time.monotonic() + within
        while not awaited.given and not self._has_said(name, awaited, beat):
            if time.monotonic() > deadline:
                raise SpawnFailedError(
                    f"{name} runs on {self._options.host} and gave no sign of life: {awaited.describe()}"
                    f" did not come in {within:g} s",
                    remedy="see the guest's console, or name another signal for it",
                )
            beat(f"waiting for {awaited.describe()}")
            time.sleep(self._options.poll)
        beat(f"{name} is up")

    def _has_said(self, name: str, awaited: AwaitedSignal, beat: Beat) -> bool:
        try:
            seen = self._domains.find(awaited.instance_id)
            can_say = seen is not None and seen.active and not seen.starting and not seen.stopped
            given = can_say and self._signals.is_given(awaited, beat)
        except HypervisorUnavailableError:
            return False
        except LibvirtError as error:
            if not error.is_lost_connection:
                raise
            return False
        if seen is None or not seen.active:
            raise SpawnFailedError(f"{name} ended on {self._options.host} before it was up")
        if seen.crashed:
            raise SpawnFailedError(f"{name} crashed on {self._options.host} before it was up", remedy="see its console")
        if seen.state == IO_ERROR:
            raise self._stopped(seen, name, "before it was up")
        if not seen.starting and seen.epoch != awaited.epoch:
            raise SpawnFailedError(
                f"what runs as {name} on {self._options.host} says epoch {seen.epoch}, and {awaited.epoch} was started",
                remedy="see who else starts or restores guests on that host",
            )
        if given:
            write(self._signal_file(awaited.instance_id), awaited.model_copy(update={"given": True}))
            if self._options.announce:
                announce(self._connection, awaited.instance_id)
        return given

    def awaited(self, instance_id: str, epoch: int) -> AwaitedSignal | None:
        """The signal that this epoch's guest was started under here."""
        found = read(self._signal_file(instance_id), AwaitedSignal)
        return found if found is not None and found.epoch == epoch else None

    def settled_start(self, instance_id: str, *, within: float, beat: Beat) -> Seen | None:
        """The domain once nobody's create of it is under way any more."""
        deadline = time.monotonic() + within
        while (seen := self._domains.find(instance_id)) is not None and seen.starting:
            if time.monotonic() > deadline:
                raise SpawnFailedError(f"{seen.name} is still starting on {self._options.host}")
            beat(f"{seen.name} is starting")
            time.sleep(self._options.poll)
        return seen

    def end(self, seen: Seen) -> None:
        """It does not run any more, and stays defined. Raises LibvirtError, SpawnFailedError."""
        deadline = time.monotonic() + GONE_TIMEOUT
        while (now := self._domains.find(seen.instance_id)) is not None and now.active and now.epoch == seen.epoch:
            if time.monotonic() > deadline:
                raise SpawnFailedError(f"{seen.name} does not end on {self._options.host}")
            self._domains.destroy(seen.instance_id)

    def resume(self, seen: Seen, name: str) -> None:
        """It goes on, or sleeps as it wanted to. Raises SpawnFailedError: its other half may run, or its disk fails
        again."""
        if seen.state == ASLEEP:
            return
        if seen.state == MIGRATING:
            raise SpawnFailedError(
                f"{name} is being migrated on {self._options.host}",
                remedy=f"wait for that (virsh domjobinfo {seen.name}), or end it (virsh domjobabort {seen.name})",
            )
        self._domains.resume(seen.instance_id)
        deadline = time.monotonic() + GOES_ON
        while seen.state == IO_ERROR and time.monotonic() < deadline:
            now = self._domains.find(seen.instance_id)
            if now is not None and now.state == IO_ERROR:
                raise self._stopped(now, name, "again: it was resumed, and its disk still fails")
            time.sleep(self._options.poll)

    def _stopped(self, seen: Seen, name: str, when: str) -> SpawnFailedError:
        return SpawnFailedError(
            f"{name} is paused by an I/O error on {self._options.host} {when}",
            remedy=f"make room on its storage, or mend it, and say there: virsh resume {seen.name}",
        )

    def remove(self, instance_id: str, epoch: int) -> None:
        """No domain of that uuid at or below the epoch is left, running, starting or defined, and no process that
        libvirt does not know. A newer one is left alone. Raises HypervisorUnavailableError, SpawnFailedError,
        HypervisorUnableError."""
        deadline = time.monotonic() + GONE_TIMEOUT
        while (seen := self._domains.find(instance_id)) is not None and seen.epoch <= epoch:
            refusal = self._take_down(seen)
            if time.monotonic() > deadline:
                raise SpawnFailedError(f"{seen.name} does not end on {self._options.host}: {refusal}")
            if self._domains.find(instance_id) is not None:
                time.sleep(self._options.poll)
        self._lost.end(instance_id, epoch)
        if seen is None:
            remove_durably(self._signal_file(instance_id))

    def _take_down(self, seen: Seen) -> str:
        """Destroyed first: undefining a running domain would only make it transient. What libvirt refuses now
        (a job is under way) is answered, and tried again by the caller."""
        refusal = "libvirt refuses nothing"
        for step in (self._domains.destroy, self._domains.undefine):
            try:
                step(seen.instance_id)
            except LibvirtError as error:
                refusal = str(error)
        return refusal

    def _signal_file(self, instance_id: str) -> Path:
        return self._files.file("signals", instance_id)
