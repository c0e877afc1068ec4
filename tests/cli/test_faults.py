"""Fault rules: whom they strike, and how often."""

import os
import subprocess
import sys
from pathlib import Path

from embedded.faults import FaultFile, FaultRule, Strikes, keys_of, read_faults
from embedded.subjects import Subjects, write_names
from evacuation.messages import (
    AttemptRef,
    ClaimCapacity,
    Destination,
    EvacuationRequest,
    GuestCall,
    HostCall,
    SetUpNetwork,
    Undo,
)

REF = AttemptRef(evacuation_id="e", owner="r", instance_id="i-1", attempt=1)
CLAIM = """
import sys; from pathlib import Path; from embedded.faults import Strikes
sys.exit(0 if Strikes(Path(sys.argv[1])).claim("rule", 3) else 1)
"""


def rule(**fields: object) -> FaultRule:
    return FaultRule.model_validate({"activity": "spawn_guest", "do": "fail"} | fields)


def subjects(tmp_path: Path, host: str | None = None) -> Subjects:
    write_names(tmp_path / "names.json", {"i-1": "web-01"})
    return Subjects(tmp_path / "names.json", host=host)


def test_rule_matches_any_host_and_instance_when_it_names_none() -> None:
    assert rule().matches("spawn_guest", frozenset({"cmp-1"}), frozenset({"web-01"}))
    assert not rule().matches("settle_guest", frozenset({"cmp-1"}), frozenset({"web-01"}))


def test_rule_matches_only_what_it_names_when_it_names_both() -> None:
    named = rule(host="cmp-2", instance="web-01")
    assert named.matches("spawn_guest", frozenset({"cmp-2"}), frozenset({"web-01"}))
    assert not named.matches("spawn_guest", frozenset({"cmp-1"}), frozenset({"web-01"}))
    assert not named.matches("spawn_guest", frozenset({"cmp-2"}), frozenset({"web-02"}))


def test_delay_is_read_with_its_unit() -> None:
    assert (rule(do="delay 5s").delay, rule(do="delay 250ms").delay, rule().delay) == (5.0, 0.25, None)


def test_strikes_are_counted_across_processes(tmp_path: Path) -> None:
    codes = [subprocess.run([sys.executable, "-c", CLAIM, str(tmp_path)], check=False).returncode for _ in range(5)]
    assert codes == [0, 0, 0, 1, 1]


def test_strike_names_the_process_that_it_struck(tmp_path: Path) -> None:
    Strikes(tmp_path).claim("rule", 1)
    assert (tmp_path / "rule.0").read_text() == f"{os.getpid()}\n"


def test_strikes_never_end_when_times_is_absent(tmp_path: Path) -> None:
    assert all(Strikes(tmp_path).claim("rule", None) for _ in range(10))


def test_rule_keeps_its_count_when_others_are_added_before_it() -> None:
    mine, other = rule(host="cmp-2", times=1), rule(do="kill")
    assert keys_of((mine,))[0] == keys_of((other, mine))[1]
    assert len(set(keys_of((mine, mine)))) == 2


def test_instance_is_known_by_name_wherever_its_id_stands(tmp_path: Path) -> None:
    found = subjects(tmp_path)
    call = HostCall(host="cmp-2", hypervisor_uuid=None, incarnation=None)
    messages = (
        EvacuationRequest(request_id="q", instance_id="i-1"),
        Undo(ref=REF),
        GuestCall(call=call, instance_id="i-1", epoch=1),
    )
    assert all("web-01" in found.of(message)[1] for message in messages)


def test_host_is_the_workers_own_on_a_host_worker(tmp_path: Path) -> None:
    assert subjects(tmp_path, host="cmp-3").of(Undo(ref=REF))[0] == {"cmp-3"}


def test_host_is_the_destination_when_the_message_names_only_the_attempt(tmp_path: Path) -> None:
    found = subjects(tmp_path)
    assert found.of(SetUpNetwork(ref=REF, host="cmp-2"))[0] == {"cmp-2"}
    assert found.of(Undo(ref=REF))[0] == set()
    destination = Destination(host="cmp-4", hypervisor_uuid=None, incarnation=None, epoch=2)
    found.learn(ClaimCapacity(ref=REF, target=None), destination)
    assert found.of(Undo(ref=REF))[0] == {"cmp-4"}


def test_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("[]")
    file = FaultFile(path)
    assert file.rules() == ()
    path.write_text("- {activity: spawn_guest, host: cmp-2, instance: web-01, at: before, do: fail, times: 1}")
    assert file.rules() == read_faults(path) == (rule(host="cmp-2", instance="web-01", times=1),)
