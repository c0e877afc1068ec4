"""The file of BMCs: what is refused, by which line; and that nothing of it is ever shown."""

import os
from pathlib import Path

import pytest

from evacuation.errors import BmcFileError
from services.fencing import FenceOptions
from services.fencing.bmc import BmcFencing, open_bmcs
from services.fencing.bmc_file import BmcFile, split_address

SECRET = "s3cret-horse"
ADDRESS = "192.0.2.77"
USERNAME = "fence-account"
SOUND = f"""\
cmp-1: {{address: {ADDRESS}, username: {USERNAME}, password: {SECRET}, system: "1"}}
cmp-2: {{driver: ipmi, address: "{ADDRESS}:6230", username: {USERNAME}, password_file: cmp-2.password}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "cmp-2.password", f"{SECRET}\n")
    return write(tmp_path / "bmc.yaml", SOUND)


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BmcFileError) as caught:
        BmcFile(path, "redfish")
    assert caught.value.remedy and "\n" not in caught.value.line
    return caught.value.line


def test_file_says_how_each_host_is_reached(path: Path):
    file = BmcFile(path, "redfish")
    first, second = file.of("cmp-1"), file.of("cmp-2")
    assert (first.driver, first.address, first.system, first.verify) == ("redfish", ADDRESS, "1", True)
    assert (second.driver, second.username, second.password) == ("ipmi", USERNAME, SECRET)
    assert file.has("cmp-2") and not file.has("cmp-3")


def test_host_may_have_another_driver_than_the_setting_names(path: Path):
    fencing = BmcFencing(BmcFile(path, "redfish"), kind="redfish", timeout=1)
    assert [fencing.kind_of(host) for host in ("cmp-1", "cmp-2", "cmp-3")] == ["redfish", "ipmi", "redfish"]
    assert [fencing.is_able(host) for host in ("cmp-1", "cmp-2", "cmp-3")] == [True, True, False]


def test_nothing_of_an_entry_is_in_what_it_prints(path: Path):
    file = BmcFile(path, "redfish")
    shown = repr(file.of("cmp-1")) + repr(file._current()) + str(file._current()["cmp-1"])
    for hidden in (SECRET, ADDRESS, USERNAME):
        assert hidden not in shown


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ("{address: a, username: u, pasword: p}", ":1: cmp-1.pasword: unknown key; known: driver, address"),
        ("\n  address: a\n  username: u", ":2: cmp-1: give either password or password_file"),
        ("{address: a, username: u, password: p, password_file: f}", ":1: cmp-1: give either"),
        ("\n  username: u\n  password: p", "cmp-1.address: the key is missing"),
        ("\n  address: a\n  username: u\n  password: 12345", ":4: cmp-1.password: should be text"),
        ("{driver: telnet, address: a, username: u, password: p}", "cmp-1.driver: input should be 'redfish'"),
        ("{address: 'http://a', username: u, password: p}", ":1: cmp-1: plain http would show the password"),
        ("{driver: ipmi, address: a, username: u, password: p, system: '1'}", "cmp-1: an ipmi entry has"),
        ("{address: a, username: u, password: p, uuid: cmp-1}", "cmp-1: uuid is not one that names a machine"),
        ("{address: a, username: u, password: p, ca_file: nowhere.pem}", "cmp-1.ca_file: there is no such file"),
        ("{address: a, username: u, password_file: nowhere}", "cmp-1.password_file: cannot be read"),
        ("{address: a, username: u, password: p}\ncmp-1: 1", ":2: cmp-1: the key is given twice"),
        ("nothing", ":1: cmp-1: should be a mapping"),
        ("{address: 'a:b', username: u, password: p}", ":1: cmp-1: address is neither HOST nor HOST:PORT"),
    ],
)
def test_wrong_entry_is_refused_by_line_and_field(tmp_path: Path, entry: str, where: str):
    assert where in refusal(write(tmp_path / "bmc.yaml", f"cmp-1: {entry}\n"))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("10.0.9.1", ("10.0.9.1", None)),
        ("bmc-1.example:8443", ("bmc-1.example", 8443)),
        ("https://bmc-1:8443/redfish/v1", ("bmc-1", 8443)),
        ("fd00::1", ("fd00::1", None)),
        ("[fd00::1]:623", ("fd00::1", 623)),
        ("bmc-1:port", None),
        ("bmc-1:99999", None),
        ("user:secret@bmc-1", None),
        ("ftp://bmc-1", None),
        ("two words", None),
    ],
)
def test_address_is_a_host_and_may_be_a_port(address: str, parts: tuple[str, int | None] | None):
    assert split_address(address) == parts


def test_system_may_be_written_as_a_number(tmp_path: Path):
    path = write(tmp_path / "bmc.yaml", "cmp-1: {address: a, username: u, password: p, system: 1}")
    assert BmcFile(path, "redfish").of("cmp-1").system == "1"


@pytest.mark.parametrize(
    ("text", "where"), [("[cmp-1]", ":1: a BMC file is a mapping of host names"), ("", ":1: the file is empty")]
)
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, where: str):
    assert where in refusal(write(tmp_path / "bmc.yaml", text))


@pytest.mark.parametrize(
    "text",
    [
        f"cmp-1: {{address: {ADDRESS}, username: {USERNAME}, password: *{SECRET}}}",
        f"cmp-1: {{address: {ADDRESS}, username: {USERNAME}, password: !{SECRET} x}}",
        f"cmp-1: {{address: {ADDRESS}, username: {USERNAME}, password: {SECRET}: x}}",
        f"cmp-1: {{address: {ADDRESS}, username: {USERNAME}, password: [{SECRET}]}}",
        f'cmp-1: {{address: {ADDRESS}, username: {USERNAME}, password: "\\{SECRET}"}}',
        f"cmp-1: {{address: {ADDRESS}, username: {USERNAME}, password: {SECRET}, verify: {SECRET}}}",
    ],
)
def test_error_quotes_nothing_of_the_file(tmp_path: Path, text: str):
    line = refusal(write(tmp_path / "bmc.yaml", text))
    for hidden in (SECRET, ADDRESS, USERNAME):
        assert hidden not in line


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_file_that_everybody_may_read_is_refused(path: Path, mode: int):
    path.chmod(mode)
    assert f"everybody may read it (mode {mode:04o}): chmod 600" in refusal(path)


def test_password_file_that_everybody_may_read_is_refused(path: Path):
    path.with_name("cmp-2.password").chmod(0o644)
    assert "cmp-2.password: everybody may read it" in refusal(path)


def test_empty_password_file_is_refused(path: Path):
    write(path.with_name("cmp-2.password"), "\n")
    assert "cmp-2.password_file: the file is empty" in refusal(path)


def test_missing_file_is_refused(tmp_path: Path):
    assert "there is no such file" in refusal(tmp_path / "bmc.yaml")


def test_change_is_seen_and_a_wrong_one_changes_nothing(path: Path):
    file = BmcFile(path, "redfish")
    change(path, SOUND.replace(SECRET, "another"))
    assert file.of("cmp-1").password == "another"
    change(path, "cmp-1: {address: [")
    assert file.of("cmp-1").password == "another"
    change(path, SOUND)
    assert file.of("cmp-1").password == SECRET


def test_password_file_is_read_at_every_use(path: Path):
    file = BmcFile(path, "redfish")
    write(path.with_name("cmp-2.password"), "rotated\n")
    assert file.of("cmp-2").password == "rotated"


def test_driver_is_refused_without_a_file(tmp_path: Path):
    with pytest.raises(BmcFileError, match="EVACUATE_FENCING=redfish needs a BMC file"):
        open_bmcs("redfish", FenceOptions(root=tmp_path))


def change(path: Path, text: str) -> None:
    """A change within the clock's last tick is a change too."""
    path.write_text(text)
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + change.ticks))
    change.ticks += 1_000_000


change.ticks = 1_000_000
