"""What is exported becomes what the store wants: the whole of it, or the part about some volumes."""

from collections.abc import Iterable
from typing import Protocol

from evacuation.errors import VolumeImageGoneError
from services.cloud.nbd.daemon import Daemon, daemon
from services.cloud.nbd.layout import Layout, export_of, make_images, node_of
from services.cloud.sql.exports import WantedExport


class Wanted(Protocol):
    """Which volumes must be open, as the store says, and how large each one is, in GiB."""

    def wanted(self, volumes: frozenset[str] | None = None) -> tuple[WantedExport, ...]: ...

    def sizes(self) -> dict[str, int]: ...


class Exports:
    """Whoever changes the store about a volume calls `apply` afterwards. Whoever died in between is made good by the
    next call about that volume, or by the service's own look at everything."""

    def __init__(self, layout: Layout, store: Wanted, *, create: bool = False) -> None:
        self.layout = layout
        self._store = store
        self._create = create

    def apply(self, volumes: Iterable[str] | None = None) -> None:
        """What is not wanted is closed and gone before anything else is opened: a volume never has two exports.
        Raises VolumeServiceError, VolumeImageGoneError once everything else is done."""
        chosen = None if volumes is None else frozenset(volumes)
        if self._create:
            self.make_images(chosen)
        with daemon(self.layout) as link:
            # Read under the lock: the last one to read is the last one to act.
            self._apply(link, chosen, self._store.wanted(chosen))

    def require_image(self, volume_id: str) -> None:
        """Raises VolumeImageGoneError."""
        if self._create:
            self.make_images(frozenset({volume_id}))
        self.layout.require_image(volume_id)

    def make_images(self, volumes: frozenset[str] | None = None) -> int:
        sizes = self._store.sizes()
        return make_images(self.layout, {k: v for k, v in sizes.items() if volumes is None or k in volumes})

    def _apply(self, link: Daemon, volumes: frozenset[str] | None, wanted: tuple[WantedExport, ...]) -> None:
        wanted_ids = {export_of(each.attachment_id) for each in wanted}
        nodes = None if volumes is None else {node_of(volume) for volume in volumes}
        present = {id: node for id, node in link.exports().items() if nodes is None or node in nodes}
        stale = frozenset(present.keys() - wanted_ids)
        link.close_exports(stale)
        used = {node_of(each.volume_id) for each in wanted}
        for node in sorted({present[id] for id in stale} - used):
            link.close_node(node)
        lost: VolumeImageGoneError | None = None
        for each in wanted:
            if export_of(each.attachment_id) in present:
                continue
            try:
                link.open_export(each.volume_id, each.attachment_id)
            except VolumeImageGoneError as error:
                # The others are opened all the same: their guests wait for them.
                lost = lost or error
        if lost is not None:
            raise lost
