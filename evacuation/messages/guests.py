"""Guests as a hypervisor gets them, and as it has them."""

from typing import Literal

from evacuation.ledger import LedgerMark
from evacuation.messages.common import Answered, HostCall
from evacuation.model import Flavor, Frozen, PowerState, RootDisk


class Connector(Frozen):
    """How a host reaches a volume, as the volume service needs to know it."""

    host: str
    incarnation: str
    ip: str = "127.0.0.1"
    initiator: str = ""


class VolumeTarget(Frozen):
    """Where a host finds the data of an attached volume: a network block device, as QEMU opens it."""

    protocol: Literal["nbd"] = "nbd"
    host: str
    port: int = 10809
    export: str | None = None
    """Its name there; None: the attachment's id."""


class GuestDisk(Frozen):
    """A volume as the guest sees it: `device` is its name there (vdb). The workflow makes it from the completed
    attachments."""

    volume_id: str
    device: str
    attachment_id: str
    target: VolumeTarget | None = None
    """None: the volume service does not say; the guest's definition knows, or the host cannot reach it."""


class Nic(Frozen):
    """`bridge` None: as the guest's definition, or the host's own setting for the network, has it."""

    port_id: str
    network: str
    mac: str
    ip: str
    bridge: str | None = None
    openvswitch: bool = False
    """The bridge is Open vSwitch's, and the port is known there by `port_id`."""


GuestSignal = Literal["agent", "serial", "ping", "none"]
"""By what a started guest is known to be up: its QEMU guest agent answers, a line on its serial console, an answered
ping; none: that the hypervisor says it runs."""


class GuestSpec(Frozen):
    """Everything a hypervisor needs to bring up one guest, once."""

    instance_id: str
    name: str
    epoch: int
    flavor: Flavor
    root_disk: RootDisk
    power_state: PowerState
    """running, or shutdown: only defined, never booted on the way."""
    nics: tuple[Nic, ...] = ()
    disks: tuple[GuestDisk, ...] = ()
    definition: str | None = None
    """The instance's own definition as its hypervisor stores it (libvirt: the domain's XML)."""
    signal: GuestSignal | None = None
    """None: as the definition says, or the host's own setting."""


class AuthorizedStart(GuestSpec):
    """A guest that may start on the host that comes back. `ledger`: as this transaction has left it."""

    ledger: LedgerMark | None = None


class ConnectVolumes(Frozen):
    """The destination must see these volumes before the guest of that epoch starts. Connected again: no change."""

    call: HostCall
    instance_id: str
    epoch: int
    disks: tuple[GuestDisk, ...]


class SpawnGuest(Frozen):
    """Bring this guest up, once. The workflow sends it after the start was authorised, never before."""

    call: HostCall
    guest: GuestSpec


class GuestState(Frozen):
    """A guest as the hypervisor has it. `note`: what else was done when it was brought up, for a person."""

    instance_id: str
    epoch: int
    power_state: PowerState
    paused: bool = False
    note: str = ""


class Settled(Answered):
    """`forward`: the guest of that epoch is in its wanted power state. Else it is gone, and cannot come any more."""

    forward: bool
    incarnation: str


EVACUATED = "it was evacuated"


class GuestKey(Frozen):
    """`why`: in words for a person."""

    instance_id: str
    name: str
    epoch: int
    why: str = EVACUATED


class StartedGuest(GuestState, Answered):
    """The guest that was brought up."""


class BuryGuests(Frozen):
    """None of them may start there by that epoch or an older one; what runs is left alone."""

    call: HostCall
    guests: tuple[GuestKey, ...]
