"""Images of NBD volumes: made once, and not again when they are lost."""

from pathlib import Path

import pytest

from evacuation.errors import VolumeImageGoneError
from services.cloud.nbd import Exports
from services.cloud.nbd.layout import Layout, make_images
from services.cloud.sql.exports import WantedExport


class Store:
    """Wants an export for each of two volumes."""

    def wanted(self, volumes: frozenset[str] | None = None) -> tuple[WantedExport, ...]:
        return tuple(WantedExport(volume_id=f"v-{n}", attachment_id=f"a-{n}") for n in (1, 2))

    def sizes(self) -> dict[str, int]:
        return {"v-1": 1, "v-2": 1}


class Link:
    """As much of the daemon as exports need: it opens what has an image."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.opened: list[str] = []

    def exports(self) -> dict[str, str]:
        return {}

    def close_exports(self, exports: frozenset[str]) -> None:
        assert not exports

    def open_export(self, volume_id: str, attachment_id: str) -> None:
        self._layout.require_image(volume_id)
        self.opened.append(volume_id)


@pytest.fixture
def exports(tmp_path: Path) -> Exports:
    return Exports(Layout.of(tmp_path, "127.0.0.1:10809"), Store(), create=True)


def test_image_that_is_lost_is_not_made_again(exports: Exports):
    assert exports.make_images() == 2
    image = exports.layout.image("v-1")
    image.unlink()
    assert exports.make_images() == 0
    with pytest.raises(VolumeImageGoneError, match="has no image any more") as refused:
        exports.require_image("v-1")
    assert refused.value.remedy == "restore it"
    exports.require_image("v-2")
    assert not image.exists()


def test_image_that_is_empty_is_none(exports: Exports):
    exports.make_images()
    exports.layout.image("v-1").write_bytes(b"")
    with pytest.raises(VolumeImageGoneError):
        exports.require_image("v-1")


def test_image_that_somebody_else_put_there_is_known_when_it_is_lost(tmp_path: Path):
    layout = Layout.of(tmp_path, "127.0.0.1:10809")
    image = layout.image("v-1")
    image.parent.mkdir()
    image.write_bytes(b"data")
    assert make_images(layout, {"v-1": 1}) == 0
    image.unlink()
    assert make_images(layout, {"v-1": 1}) == 0


def test_other_volumes_are_exported_when_one_has_lost_its_image(exports: Exports):
    exports.make_images()
    exports.layout.image("v-1").unlink()
    link = Link(exports.layout)
    with pytest.raises(VolumeImageGoneError, match="v-1"):
        exports._apply(link, None, Store().wanted())  # type: ignore[arg-type]  # as much of it as is needed
    assert link.opened == ["v-2"]
