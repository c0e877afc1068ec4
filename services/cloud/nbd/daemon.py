"""What the storage daemon exports, and how that is changed. Every call may be repeated."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from evacuation.errors import VolumeServiceError
from services.cloud.nbd.change_lock import change_lock
from services.cloud.nbd.layout import Layout, export_of, node_of
from services.cloud.nbd.qmp import REMEDY, Qmp, QmpError

TIMEOUT = 3.0
"""Seconds for one command."""
LOCK_WAIT = 4.0
DRAIN = 4.0
"""Seconds in which a closed export must be gone: its last requests have ended then."""
POLL = 0.01


class Daemon:
    """A connection to the one qemu-storage-daemon, under the lock that everybody takes who talks to it. What is opened
    was seen once and is remembered: a new daemon gets hundreds of exports while their guests wait for them."""

    def __init__(self, layout: Layout, qmp: Qmp) -> None:
        self._layout = layout
        self._qmp = qmp
        self._exports: dict[str, str] | None = None
        self._nodes: set[str] | None = None

    def exports(self) -> dict[str, str]:
        """Node by export id, also those that are closing, as it is now."""
        self._exports = {each["id"]: each["node-name"] for each in self._qmp.execute("query-block-exports")}
        return dict(self._exports)

    def close_exports(self, exports: frozenset[str]) -> None:
        """They are gone, and every request that they had taken has ended: nothing is written through them any more.
        Their clients get I/O errors at once. Raises VolumeServiceError."""
        for each in exports & self.exports().keys():
            try:
                self._qmp.execute("block-export-del", id=each, mode="hard")
            except QmpError as error:
                # It went by itself, or is closing already: the look below decides.
                if "not found" not in str(error) and "shutting down" not in str(error):
                    raise self._refused(error) from None
        give_up = time.monotonic() + DRAIN
        while exports & self.exports().keys():
            if time.monotonic() >= give_up:
                raise VolumeServiceError("an export does not close: its last requests do not end", remedy=REMEDY)
            time.sleep(POLL)

    def open_export(self, volume_id: str, attachment_id: str) -> None:
        """Raises VolumeServiceError."""
        node, export = node_of(volume_id), export_of(attachment_id)
        seen = self._seen_exports()
        if export in seen:
            return
        self._open_node(volume_id, node)
        try:
            self._qmp.execute(
                "block-export-add", type="nbd", id=export, name=attachment_id, node_name=node, writable=True
            )
        except QmpError as error:
            raise self._refused(error) from None
        seen[export] = node

    def close_node(self, node: str) -> None:
        """The image is not open any more. It stays open while an export uses it."""
        if node in self._seen_nodes() and node not in self.exports().values():
            try:
                self._qmp.execute("blockdev-del", node_name=node)
            except QmpError as error:
                raise self._refused(error) from None
            self._seen_nodes().discard(node)

    def _open_node(self, volume_id: str, node: str) -> None:
        nodes = self._seen_nodes()
        if node in nodes:
            return
        image = self._layout.require_image(volume_id)
        try:
            # With locking a second daemon, or anything else of QEMU's, cannot open the image beside this one.
            file = {"driver": "file", "filename": str(image), "locking": "on"}
            self._qmp.execute("blockdev-add", driver="raw", node_name=node, file=file, discard="unmap")
        except QmpError as error:
            raise self._refused(error) from None
        nodes.add(node)

    def _seen_exports(self) -> dict[str, str]:
        if self._exports is None:
            self.exports()
        assert self._exports is not None
        return self._exports

    def _seen_nodes(self) -> set[str]:
        """Nobody else opens or closes one while this connection is served."""
        if self._nodes is None:
            found = self._qmp.execute("query-named-block-nodes", flat=True)
            self._nodes = {each["node-name"] for each in found}
        return self._nodes

    def _refused(self, error: QmpError) -> VolumeServiceError:
        return VolumeServiceError(f"the storage daemon refuses: {error}", remedy=REMEDY)


@contextmanager
def daemon(layout: Layout, *, timeout: float = TIMEOUT) -> Generator[Daemon]:
    """Alone with the daemon: it serves one client at a time, and who reads what is wanted must be the last to have
    read it. Raises VolumeServiceError; when somebody else does not let go of it, that one is named."""
    try:
        with change_lock(layout.lock, wait=LOCK_WAIT), Qmp(layout.socket, timeout=timeout) as qmp:
            yield Daemon(layout, qmp)
    except QmpError as error:
        raise VolumeServiceError(f"the storage daemon refuses: {error}", remedy=REMEDY) from None
