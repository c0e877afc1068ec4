"""The supervisor of an embedded stack starts what may run, and one host that it cannot read keeps it from no other."""

from pathlib import Path

import pytest

from embedded.supervisor import Supervisor
from services.hypervisors.process import ProcessHost, ProcessRoot
from services.runtime.settings import Settings


def test_host_whose_power_is_damaged_keeps_no_other_from_being_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for host in ("cmp-1", "cmp-2", "cmp-3"):
        ProcessHost(tmp_path, host).power_on()
    ProcessRoot(tmp_path).host("cmp-1").power.write_text("{")
    started: list[str] = []
    monkeypatch.setattr(Supervisor, "_tend", lambda self, name, command: started.append(name))
    supervisor = Supervisor(Settings(state_dir=tmp_path))
    for _ in range(2):
        supervisor._tend_all()  # pyright: ignore[reportPrivateUsage]  # one look; `run` ends with a signal only
    hosts = [name for name in started if name.startswith("host-")]
    assert hosts == ["host-cmp-2", "host-cmp-3"] * 2
    assert capsys.readouterr().err.count("cmp-1 is not started") == 1
