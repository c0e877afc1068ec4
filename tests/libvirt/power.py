"""The power of the lab's hosts behind a Redfish service: HTTPS, an account, and an order that ends the host's init."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.libvirt.lab.lab import Lab
from tests.support.bmcs import PASSWORD, USERNAME, Authority, redfish_bmc
from tests.support.machines import Machine


class Power:
    """`settings`: of the control worker that is to fence by it."""

    def __init__(self, lab: Lab, root: Path, port: int, authority: Path) -> None:
        self._lab = lab
        self._root = root
        self._file = root / "bmc.yaml"
        self.settings = {"EVACUATE_FENCING": "redfish", "EVACUATE_BMC_FILE": str(self._file)}
        self._address = f"https://127.0.0.1:{port}"
        entry = {
            "address": self._address,
            "username": USERNAME,
            "password": PASSWORD,
            "ca_file": str(authority),
        }
        self._save({name: entry | {"system": name} for name in lab.hosts})
        for name in lab.hosts:
            self.plug_in(name)

    def plug_in(self, name: str) -> None:
        """The host was powered on: from now on its BMC switches this boot of it."""
        pid = self._lab.hosts[name].init
        assert pid is not None, f"{name} is off"
        Machine(self._root, name).be(pid)

    def lose_bmc(self, name: str) -> None:
        """Its BMC died with it: nobody listens at its address."""
        self._say(name, "https://127.0.0.1:1")

    def restore_bmc(self, name: str) -> None:
        self._say(name, self._address)

    def lie(self, name: str, answers: int) -> None:
        """So many times its BMC says off, whatever the host is."""
        Machine(self._root, name).lies.write_text(str(answers))

    def be_honest(self) -> None:
        for path in self._root.glob("*.lies"):
            path.unlink()

    def orders(self) -> list[str]:
        """Every order that a BMC was given, as "HOST STATE"."""
        path = self._root / "orders"
        return path.read_text().splitlines() if path.exists() else []

    def _say(self, name: str, address: str) -> None:
        entries = yaml.safe_load(self._file.read_text())
        entries[name]["address"] = address
        self._save(entries)

    def _save(self, entries: dict[str, dict[str, str]]) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(yaml.safe_dump(entries))
        fresh.replace(self._file)


@contextmanager
def power_of(lab: Lab) -> Generator[Power]:
    root = lab.directory / "bmc"
    root.mkdir()
    authority = Authority(root)
    with redfish_bmc(root, authority.issue("127.0.0.1"), *lab.hosts) as port:
        yield Power(lab, root, port, authority.ca)
    shutil.rmtree(root)
