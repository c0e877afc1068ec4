"""Why a guest cannot be brought up from its definition on a destination. Pure."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from evacuation.capabilities import HostCapabilities
from evacuation.model import Frozen
from services.definitions.libvirt.definition import Definition, Disk, Interface

SHARE_IT = "put it below a shared directory, or on a network volume"


class Obstacle(Frozen):
    """Of one host, whose name the cause goes on from; or of the guest itself: no host takes it."""

    cause: str
    remedy: str
    host: str | None = None

    @property
    def line(self) -> str:
        cause = f"{self.host} {self.cause}" if self.host else self.cause
        return f"{cause}: {self.remedy}"


class Destination(Frozen):
    """`capabilities` None: the host has never reported."""

    name: str
    capabilities: HostCapabilities | None = None


def why_not(
    definition: Definition, destination: Destination, *, source: HostCapabilities | None
) -> tuple[Obstacle, ...]:
    """Everything that is not known to be right; nothing: the destination can take it. `source` is the last report of
    the host that the guest was on: a path is shared when both have read the same marker in a directory above it."""
    silent = Obstacle(host=destination.name, cause="has not said what it can run", remedy="start its host worker")
    lacks = _lacking(definition, destination, source) if destination.capabilities else (silent,)
    return (*why_nowhere(definition, source=source), *lacks)


def surely_not(
    definition: Definition, destination: Destination, *, source: HostCapabilities | None
) -> tuple[Obstacle, ...]:
    """Only what is known to be wrong: what nobody has reported is left for the destination itself to find out."""
    return (*_held_devices(definition), *_lacking(definition, destination, source))


def _lacking(definition: Definition, destination: Destination, source: HostCapabilities | None) -> tuple[Obstacle, ...]:
    there = destination.capabilities
    if there is None:
        return ()
    found = (
        *_unseen_files(definition, there, source),
        *_lacking_processor(definition, there),
        *_lacking_networks(definition, there),
        *duplicates(definition, there),
    )
    return tuple(each.model_copy(update={"host": destination.name}) for each in found)


def why_nowhere(definition: Definition, *, source: HostCapabilities | None) -> tuple[Obstacle, ...]:
    """Obstacles of the guest itself."""
    shared = tuple(each.path for each in source.shared) if source else ()
    return (*_local_files(definition, shared), *_held_devices(definition))


def is_below(path: str, directories: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).is_relative_to(directory) for directory in directories)


def local_disks(definition: Definition, shared: tuple[str, ...]) -> tuple[Disk, ...]:
    """That no other host can have: files and devices that are not below a shared directory."""
    return tuple(disk for disk in definition.disks if _is_local(disk, shared))


def _is_local(disk: Disk, shared: tuple[str, ...]) -> bool:
    if disk.volume is not None:
        return True
    return disk.path is not None and not disk.optional and not is_below(disk.path, shared)


def _local_files(definition: Definition, shared: tuple[str, ...]) -> Iterator[Obstacle]:
    for disk in local_disks(definition, shared):
        yield _local_disk(disk)
    for path in definition.directories:
        if not is_below(path, shared):
            yield Obstacle(cause=f"the directory {path}, which it has mounted, is local", remedy=SHARE_IT)
    if definition.tpm_state:
        yield Obstacle(
            cause="the state of its emulated TPM is local",
            remedy="remove the TPM from its definition, or move it while its host lives",
        )


def _local_disk(disk: Disk) -> Obstacle:
    where = disk.path or f"volume {disk.volume} of a storage pool"
    if disk.device in ("cdrom", "floppy"):
        cause, remedy = (
            f"the medium in its {disk.device} drive ({where}) is local",
            "eject it, or put it on shared storage",
        )
    elif disk.type == "block":
        cause, remedy = f"disk {disk.target} is the block device {where}", SHARE_IT
    else:
        cause, remedy = f"disk {disk.target} ({where}) is local", SHARE_IT
    return Obstacle(cause=cause, remedy=remedy)


def _held_devices(definition: Definition) -> Iterator[Obstacle]:
    for each in definition.passthrough:
        yield Obstacle(
            cause=f"it holds the {each.label} of its host",
            remedy="take the device out of its definition",
        )


def _unseen_files(
    definition: Definition, there: HostCapabilities, source: HostCapabilities | None
) -> Iterator[Obstacle]:
    here = source.shared if source else ()
    both = tuple(each.path for each in here if each in there.shared)
    disks = [disk.path for disk in definition.disks if disk.path is not None and not disk.optional]
    # A kernel that lies elsewhere is taken to be installed everywhere, as firmware is.
    every = (*disks, *definition.boot_files, *definition.directories)
    needed = [path for path in every if is_below(path, tuple(each.path for each in here))]
    for path in needed:
        if not is_below(path, both):
            yield Obstacle(
                cause=f"does not see the shared directory of {path}",
                remedy="mount the same storage at the same path there, and name it to its host worker",
            )


def _lacking_processor(definition: Definition, there: HostCapabilities) -> Iterator[Obstacle]:
    arch, machine = definition.arch, definition.machine
    if there.machines is not None and arch is not None and arch not in there.machines:
        yield Obstacle(cause=f"runs no {arch} guests", remedy="install its emulator there")
    elif (
        there.machines is not None and arch is not None and machine is not None and machine not in there.machines[arch]
    ):
        yield Obstacle(
            cause=f"has no machine type {machine}",
            remedy="install the same QEMU there, or set EVACUATE_LIBVIRT_MACHINE of its host worker",
        )
    model = definition.cpu_model
    if definition.cpu_mode == "custom" and there.cpu_models is not None and model not in there.cpu_models:
        yield Obstacle(
            cause=f"cannot run CPU model {model}",
            remedy="give the guest an older model, or set EVACUATE_LIBVIRT_CPU of its host worker",
        )


def _lacking_networks(definition: Definition, there: HostCapabilities) -> Iterator[Obstacle]:
    for name in dict.fromkeys(_missing(each, there) for each in definition.interfaces):
        if name is not None:
            yield Obstacle(cause=f"has no {name}", remedy="make it there, or map the network: EVACUATE_LIBVIRT_BRIDGES")


def _missing(interface: Interface, there: HostCapabilities) -> str | None:
    """In words, or None."""
    instead = there.bridges.get(interface.network_name)
    if instead is None and interface.network is not None:
        missing = there.networks is not None and interface.network not in there.networks
        return f"active network {interface.network}" if missing else None
    needed = instead or interface.bridge
    if needed is None or there.network_devices is None or needed in there.network_devices:
        return None
    return f"{'network device' if interface.type == 'direct' else 'bridge'} {needed}"


def duplicates(definition: Definition, there: HostCapabilities) -> Iterator[Obstacle]:
    """The guest itself, or its name, is there already."""
    for each in there.domains:
        if each.id == definition.id and each.active:
            yield Obstacle(cause="runs a domain with its uuid already", remedy="find out which is the right one")
        elif each.id != definition.id and each.name == definition.name:
            yield Obstacle(cause="has another domain of its name", remedy="rename one of the two (virsh domrename)")
