"""Where the NBD volume service keeps things, and what they are called."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from evacuation.errors import MalformedRequestError, VolumeImageGoneError, VolumeServiceError
from evacuation.messages import VolumeTarget
from evacuation.model import Frozen

GIB = 1 << 30
LONGEST_SOCKET = 100
"""Bytes of a unix socket's path, a few less than the kernel takes."""


class Layout(Frozen):
    """One directory, on the machine where the daemon runs and the control workers too."""

    directory: Path
    host: str
    port: int

    @classmethod
    def of(cls, directory: Path, address: str) -> Self:
        """`address` is HOST:PORT, where the daemon listens and hosts find it. Raises MalformedRequestError."""
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise MalformedRequestError("EVACUATE_NBD_ADDRESS is not HOST:PORT", remedy="for instance 10.0.9.5:10809")
        layout = cls(directory=directory, host=host.strip("[]"), port=int(port))
        if len(os.fsencode(layout.socket)) > LONGEST_SOCKET:
            raise MalformedRequestError(
                f"{layout.socket} is too long for a socket", remedy="name a shorter EVACUATE_NBD_DIR"
            )
        return layout

    @property
    def socket(self) -> Path:
        return self.directory / "qmp.sock"

    @property
    def health(self) -> Path:
        """A monitor on which nothing is changed: whether the daemon answers at all."""
        return self.directory / "alive.sock"

    @property
    def lock(self) -> Path:
        """Held by whoever changes what the daemon exports. A new daemon has a new one."""
        return self.directory / "daemon.lock"

    @property
    def service_lock(self) -> Path:
        return self.directory / "service.lock"

    @property
    def pid_file(self) -> Path:
        return self.directory / "daemon.pid"

    @property
    def log(self) -> Path:
        return self.directory / "daemon.log"

    def image(self, volume_id: str) -> Path:
        return self.directory / "volumes" / f"{volume_id}.raw"

    def made(self, volume_id: str) -> Path:
        """It is there once the volume has had an image: it is not given another one."""
        return self.directory / "made" / volume_id

    def require_image(self, volume_id: str) -> Path:
        """Raises VolumeImageGoneError."""
        image = self.image(volume_id)
        if not image.is_file() or image.stat().st_size == 0:
            lost = self.made(volume_id).exists()
            raise VolumeImageGoneError(
                f"volume {volume_id} has no image{' any more' if lost else ''} ({image})",
                remedy="restore it" if lost else "put it in place, or have empty ones made: EVACUATE_NBD_CREATE=true",
            )
        return image

    def target(self, attachment_id: str) -> VolumeTarget:
        return VolumeTarget(host=self.host, port=self.port, export=attachment_id)


def node_of(volume_id: str) -> str:
    """A block node's name: at most 31 characters, and a letter first."""
    return "v" + volume_id.replace("-", "")[:30]


def export_of(attachment_id: str) -> str:
    """A block export's id: a letter first. Its NBD name is the attachment's id itself."""
    return f"x-{attachment_id}"


def make_images(layout: Layout, sizes: Mapping[str, int]) -> int:
    """An empty image for every volume that never had one, whole or not at all; how many. One that was lost is not
    replaced by an empty one. Raises VolumeServiceError."""
    missing = {volume: size for volume, size in sizes.items() if not _has_had(layout, volume)}
    try:
        for volume, size in missing.items():
            _make_image(layout.image(volume), size * GIB)
        for volume in sizes:
            _note(layout, volume)
    except OSError as error:
        raise VolumeServiceError(f"no image can be made in {layout.directory}: {error.strerror}") from error
    return len(missing)


def _has_had(layout: Layout, volume_id: str) -> bool:
    return layout.image(volume_id).exists() or layout.made(volume_id).exists()


def _note(layout: Layout, volume_id: str) -> None:
    """After the image: who dies in between finds the image, and notes it then."""
    made = layout.made(volume_id)
    if not made.exists():
        made.parent.mkdir(mode=0o700, exist_ok=True)
        made.touch()


def _make_image(path: Path, size: int) -> None:
    # What guests keep is for nobody else on this machine.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (Path.open takes no descriptor)
        file.truncate(size)
        os.fsync(file.fileno())
    try:
        # Never over an image that somebody else made meanwhile.
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
