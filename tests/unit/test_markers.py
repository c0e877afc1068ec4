"""A shared directory is known by its marker, and has one however many write it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.hypervisors.libvirt.markers import MARKER, mark_all, mark_shared


def test_directory_keeps_the_marker_that_it_got_first(tmp_path: Path):
    first = mark_shared(tmp_path)
    assert first is not None and first.path == str(tmp_path) and first.marker
    assert mark_shared(tmp_path) == first


def test_directory_has_one_marker_when_many_come_at_once(tmp_path: Path):
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(mark_shared, [tmp_path] * 64))
    assert len(found) == 1 and None not in found
    assert [each.name for each in tmp_path.iterdir()] == [MARKER]


def test_same_directory_behind_two_paths_has_one_marker(tmp_path: Path):
    (tmp_path / "vms").mkdir()
    (tmp_path / "link").symlink_to("vms")
    one, other = mark_all([tmp_path / "vms", tmp_path / "link"])
    assert one.marker == other.marker and one.path != other.path


def test_directories_that_only_look_alike_have_different_markers(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = mark_all([tmp_path / "a", tmp_path / "b"])
    assert one.marker != other.marker


def test_directory_that_is_not_there_is_left_out(tmp_path: Path):
    assert mark_all([tmp_path / "gone"]) == ()
    assert not (tmp_path / "gone").exists()


def test_empty_marker_proves_nothing(tmp_path: Path):
    (tmp_path / MARKER).touch()
    assert mark_shared(tmp_path) is None
