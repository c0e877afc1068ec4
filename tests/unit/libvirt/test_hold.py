"""Before libvirtd starts: what would start guests of ours by itself is taken away, and nothing else."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from services.definitions.libvirt.names import MARK, NAMESPACE
from services.hypervisors.libvirt.hold import is_held

SYSTEMD = Path(__file__).resolve().parents[3] / "deploy" / "systemd"
PROGRAM, UNIT = SYSTEMD / "evacuate-hold", SYSTEMD / "evacuate-hold.service"
OURS, OURS_TOO, THEIRS = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
LINKS, LIST = "etc/libvirt/qemu/autostart", "var/lib/libvirt/libvirt-guests"


def definition(instance: str, mark: str = "") -> str:
    return f"<!-- {NAMESPACE} -->\n<domain type='kvm'><uuid>{instance}</uuid><metadata>{mark}</metadata></domain>"


def mark(epoch: str, prefix: str = "evacuate") -> str:
    return f'<{prefix}:{MARK} xmlns:{prefix}="{NAMESPACE}" id="x"{epoch}/>'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / LINKS).mkdir(parents=True)
    (tmp_path / LIST).parent.mkdir(parents=True)
    domains = {
        "ours": definition(OURS, mark(' epoch="3"')),
        "ours-too": definition(OURS_TOO, mark(" epoch='1'", "e")),
        "theirs": definition(THEIRS),
        "signalled": definition("s", mark("")),
        "broken": f"<domain xmlns:e='{NAMESPACE}'>",
        "foreign": "<domain",
    }
    for name, text in domains.items():
        path = tmp_path / LINKS / ".." / f"{name}.xml"
        path.write_text(text)
        (tmp_path / LINKS / f"{name}.xml").symlink_to(f"/etc/libvirt/qemu/{name}.xml")
    (tmp_path / LINKS / "gone.xml").symlink_to("/etc/libvirt/qemu/gone.xml")
    return tmp_path


def hold(root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), str(root)], capture_output=True, text=True, timeout=20, check=False
    )


def links(root: Path) -> set[str]:
    return {path.stem for path in (root / LINKS).iterdir()}


def test_links_of_guests_of_ours_are_taken_away_and_named(root: Path) -> None:
    done = hold(root)
    assert done.returncode == 0, done.stderr
    assert links(root) == {"theirs", "signalled", "foreign", "gone"}, "one that cannot be read, and names us, is ours"
    assert {"ours", "ours-too", "broken"} <= set(re.findall(r"[\w-]+", done.stdout))
    assert {path.name for path in (root / LINKS).parent.glob("*.xml")} >= {"ours.xml", "broken.xml"}


def test_again_and_without_anything_there_it_is_content(root: Path, tmp_path: Path) -> None:
    assert [hold(root).returncode for _ in range(2)] == [0, 0]
    assert hold(tmp_path / "nothing").returncode == 0


def test_libvirt_guests_starts_none_of_ours(root: Path) -> None:
    (root / LIST).write_text(f"default {OURS} {THEIRS} {OURS_TOO}\nlxc:/// other\nqemu:///session {OURS}\n")
    assert hold(root).returncode == 0
    assert (root / LIST).read_text() == f"default {THEIRS}\nlxc:/// other\n"


def test_nothing_is_left_for_libvirt_guests_where_all_were_ours(root: Path) -> None:
    (root / LIST).write_text(f"default {OURS}\n")
    assert hold(root).returncode == 0
    assert not (root / LIST).exists()


def test_what_cannot_be_taken_away_is_an_error_and_the_rest_is_done(root: Path) -> None:
    (root / LINKS / "ours.xml").unlink()
    (root / LINKS / "ours.xml").mkdir()
    done = hold(root)
    assert done.returncode == 1 and "ours.xml" in done.stderr
    assert "ours-too" not in links(root)


def program() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("evacuate_hold", str(PROGRAM))
    spec = importlib.util.spec_from_loader("evacuate_hold", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_program_knows_the_mark_by_the_name_that_all_others_do() -> None:
    assert (program().NAMESPACE, program().MARK) == (NAMESPACE, MARK)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_unit_is_sound(tmp_path: Path) -> None:
    text = UNIT.read_text()
    (tmp_path / UNIT.name).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={PROGRAM}", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)], capture_output=True, text=True, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert said == [], done.stderr


def test_unit_comes_before_whatever_starts_guests() -> None:
    text = UNIT.read_text()
    before = re.findall(r"^Before=(.*)$", text, flags=re.MULTILINE)
    wanted = re.findall(r"^WantedBy=(.*)$", text, flags=re.MULTILINE)
    for unit in ("libvirtd.service", "virtqemud.service", "libvirt-guests.service"):
        assert unit in " ".join(before).split() and unit in " ".join(wanted).split(), unit


def test_host_is_held_where_the_unit_is_enabled(tmp_path: Path) -> None:
    uri = "qemu:///system"
    assert is_held(uri, tmp_path) is None, "no systemd is here"
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert is_held(uri, tmp_path) is False
    wants = tmp_path / "etc/systemd/system/virtqemud.service.wants"
    wants.mkdir(parents=True)
    (wants / UNIT.name).symlink_to(f"/etc/systemd/system/{UNIT.name}")
    assert is_held(uri, tmp_path) is True
    assert is_held("qemu+tls://cmp-2/system", tmp_path) is None, "that is another machine's"
