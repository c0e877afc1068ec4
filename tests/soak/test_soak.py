"""A soak of half a minute on the real stack; and that a soak would see what it is there to see."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from tests.soak import __main__ as program
from tests.soak import chance, soak
from tests.soak.chance import ask, deaths, dice, fault
from tests.soak.fleet import fleet
from tests.soak.leftovers import MOST_BYTES, MOST_EVENTS, History, longest, rows_left, unbounded
from tests.soak.memory import SHORTEST, WARM_UP, Series, growing, slope, unjudged
from tests.soak.options import Options, parse
from tests.soak.report import Report, line
from tests.soak.rounds import Tally, spared
from tests.soak.soak import Soak
from tests.support.stack import Stack

SMALL = Options(minutes=0.4, rate=12, seed="1", hosts=4, instances=10)
HOSTS = ["cmp-1", "cmp-2", "cmp-3", "cmp-4"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Options]]:
    options = SMALL.model_copy(update={"keep": tmp_path_factory.mktemp("soak")})
    with program.stack_for(options) as (stack, _):
        yield stack, options


@pytest.mark.timeout(300)
def test_short_soak_ends_green(stack: tuple[Stack, Options], tmp_path: Path):
    own, options = stack
    said, out = StringIO(), tmp_path / "soak.jsonl"
    account = Soak(own, options, None, Report(out, said)).run()
    assert account.reasons == (), said.getvalue()
    assert {"EvacuateInstance", "ReturnHost"} <= {each.workflow for each in account.longest}
    written = [json.loads(each) for each in out.read_text().splitlines()]
    (end,) = [each for each in written if each["kind"] == "end"]
    minute = [each for each in written if each["kind"] == "minute"][-1]
    assert minute["recovered"] > 0 and minute["checks"] >= 3 and minute["breaches"] == 0
    assert {"supervisor", "temporal", "control"} < set(minute["rss_mib"])
    assert {each["role"] for each in end["series"]} >= set(minute["rss_mib"])


@pytest.mark.timeout(300)
def test_soak_names_a_row_that_is_left_over(stack: tuple[Stack, Options]):
    """On the same stack, at rest: a row is left there by hand, and nothing happens but the account."""
    own, options = stack
    own.sql("INSERT INTO allocation (consumer_id, host, vcpus, memory_mb, disk_gb) VALUES ('nobody', 'cmp-1', 0, 0, 0)")
    try:
        said = StringIO()
        account = Soak(own, options.model_copy(update={"minutes": 1e-6}), None, Report(None, said)).run()
    finally:
        own.sql("DELETE FROM allocation WHERE consumer_id = 'nobody'")
    assert "left over: an allocation on cmp-1 belongs to nobody" in account.reasons
    assert "BREACH" in said.getvalue()


@pytest.mark.timeout(300)
def test_soak_in_which_nobody_is_recovered_is_red(stack: tuple[Stack, Options], monkeypatch: pytest.MonkeyPatch):
    own, options = stack
    monkeypatch.setattr(chance, "FATES", {"not asked for": 1})
    monkeypatch.setattr(soak, "IDLE", 1)
    long = options.model_copy(update={"rate": 0, "minutes": 60})
    account = Soak(own, long, None, Report(None, StringIO())).run()
    assert account.reasons == ("nobody was recovered in 1 rounds",), "one that ended early judges nobody's memory"


@pytest.mark.timeout(300)
def test_soak_in_which_nobody_could_be_judged_is_red(stack: tuple[Stack, Options], monkeypatch: pytest.MonkeyPatch):
    own, options = stack
    monkeypatch.setattr(soak, "JUDGING", 0)
    account = Soak(own, options.model_copy(update={"minutes": 1e-6}), None, Report(None, StringIO())).run()
    kinds = [f"memory: no {kind} process lived long enough to be judged" for kind in soak.JUDGED]
    assert list(account.reasons) == kinds


def test_rounds_are_idle_while_nobody_is_recovered():
    tally, idle = Tally(), []
    for ended in ("cancelled", "deleted", "recovered", "refused"):
        tally.note(ended, None)
        tally.end_round()
        idle.append(tally.idle)
    assert idle == [1, 2, 0, 1]


def test_half_of_the_fleet_is_never_deleted(stack: tuple[Stack, Options]):
    fleet = stack[0].world().rows.instances
    alive, gone = (fleet[0].model_copy(update={"vm_state": state}) for state in ("active", "deleted"))
    asked = ask("1", 1, alive.name, HOSTS).model_copy(update={"fate": "deleted"})
    assert spared(asked, [alive, alive, gone]).fate == "deleted"
    assert spared(asked, [alive, gone]).fate == "none"


def test_soak_exits_1_with_the_reason(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    account = program.Account(reasons=("left over: a row",), longest=(), growth={}, rows={}, minutes=1.0)
    monkeypatch.setattr(program, "soak", lambda options, report: account)
    assert program.main(["--minutes", "1"]) == 1
    assert "red: left over: a row" in capsys.readouterr().err


def series(role: str, growth: float, *, minutes: float = 10) -> Series:
    """A sample every 5 seconds, with some noise; it grows quickly while it warms up."""
    noise = dice(role, growth)
    moments = [5.0 * number for number in range(int(minutes * 12))]
    samples = [(at, 90 + min(at, 60) / 2 + growth * at / 60 + noise.uniform(-1, 1)) for at in moments]
    return Series(role=role, pid=1, born=0.0, samples=tuple(samples))


@pytest.mark.parametrize(("growth", "named"), [(0.0, False), (0.7, False), (1.3, True), (5.0, True), (-3.0, False)])
def test_memory_that_grows_is_named(growth: float, named: bool):
    found = list(growing([series("control", growth)]))
    assert bool(found) is named, found
    assert not named or "control" in found[0]


@pytest.mark.parametrize("role", ["control", "temporal"])
def test_memory_of_a_process_that_lived_shortly_says_nothing(role: str):
    assert series(role, 50.0, minutes=(WARM_UP + SHORTEST) / 60 - 0.2).growth is None
    assert list(growing([series(role, 50.0, minutes=(WARM_UP + SHORTEST) / 60 + 0.2)]))


def test_kind_of_process_of_which_none_was_judged_is_named():
    found = [series("control", 0.0), series("host cmp-1", 0.0, minutes=4), series("host cmp-2", 0.0)]
    assert list(unjudged(found, ["control", "host"])) == []
    (named,) = unjudged(found, ["control", "temporal"])
    assert "no temporal process" in named


def test_slope_is_that_of_a_line():
    assert slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert slope([(1, 1), (1, 3)]) == 0


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (
            History(workflow="ReturnHost", id="return-host/cmp-1", events=MOST_EVENTS + 1, bytes=1, running=False),
            "events",
        ),
        (
            History(workflow="ReturnHost", id="return-host/cmp-1", events=1, bytes=MOST_BYTES + 1, running=False),
            "bytes",
        ),
        (History(workflow="ReturnHost", id="return-host/cmp-1", events=9, bytes=9, running=True), "still runs"),
        (History(workflow="ReturnHost", id="return-host/cmp-1", events=9, bytes=9, running=False), None),
    ],
)
def test_history_without_bound_is_named(history: History, reason: str | None):
    found = list(unbounded([history]))
    assert (reason is None and not found) or reason in found[0]


def test_longest_is_told_by_type():
    some = [History(workflow="A", id=f"a-{n}", events=n, bytes=10 - n, running=False) for n in (1, 5, 3)]
    (told,) = longest(some)
    assert (told.count, told.events, told.bytes, told.longest) == (3, 5, 9, "a-5")


def test_everything_random_comes_from_the_seed():
    def drawn(seed: str) -> tuple[object, ...]:
        faults = [fault(seed, number, HOSTS, rate=6, postgres=True) for number in range(50)]
        asks = [ask(seed, 1, f"vm-{number}", HOSTS) for number in range(20)]
        return fleet(seed, hosts=4, instances=8), deaths(seed, 1, HOSTS, 2, peopled=HOSTS), tuple(faults), tuple(asks)

    assert drawn("7") == drawn("7")
    assert drawn("7") != drawn("8")


def test_faults_come_at_the_set_rate_and_of_every_kind():
    faults = [fault("1", number, HOSTS, rate=6, postgres=True) for number in range(2000)]
    assert sum(each.gap for each in faults) / len(faults) == pytest.approx(10, rel=0.1)
    assert {each.kind for each in faults} >= {"hang", "refuse", "lose", "fail", "delay", "kill", "temporal-killed"}
    assert {each.kind for each in faults} >= {"control-frozen", "host-worker-frozen", "store-unreachable"}
    without = {fault("1", number, HOSTS, rate=6, postgres=False).kind for number in range(2000)}
    assert not without & {"postgres-killed", "store-unreachable"}


def test_processes_that_are_to_be_judged_are_spared():
    faults = [fault("1", number, HOSTS, rate=6, postgres=True, sparing=True) for number in range(500)]
    assert {each.kind for each in faults} >= {"hang", "control-killed", "host-worker-frozen", "postgres-killed"}
    assert not {each.kind for each in faults} & {"temporal-killed", "kill"}


@pytest.mark.parametrize("up", [2, 3, 4])
def test_enough_hosts_stay_up(up: int):
    assert all(up - len(deaths("1", number, HOSTS[:up], 2, peopled=HOSTS)) >= 2 for number in range(100))


def test_host_on_which_somebody_lives_dies_in_every_round():
    dying = [[each.host for each in deaths("1", number, HOSTS, 2, peopled=["cmp-3"])] for number in range(100)]
    assert {hosts[0] for hosts in dying} == {"cmp-3"}
    assert {host for hosts in dying for host in hosts[1:]} == {"cmp-1", "cmp-2", "cmp-4"}


def test_hosts_die_also_where_nobody_lives():
    assert {deaths("1", number, HOSTS, 2, peopled=())[0].host for number in range(100)} == {*HOSTS}


def test_line_tells_everything():
    now = {
        "elapsed": 125.0,
        "round": 4,
        "recovered": 31,
        "not_recovered": {"cancelled": 2, "NoValidHostError": 1},
        "deleted": 1,
        "in_flight": 5,
        "faults": {"hang in a step": 2},
        "checks": 3,
        "breaches": 0,
        "rss_mib": {"control": (101.4, 98.0)},
    }
    told = line(now)
    assert told == (
        "2:05 round 4: 31 recovered, 3 not (cancelled 2, NoValidHostError 1), 1 deleted, 5 in flight; "
        "2 faults (hang in a step 2); checked 3 times, 0 breaches; MiB control 101+98"
    )


@pytest.mark.parametrize("words", [["--minutes", "0"], ["--rate", "-1"], ["--hosts", "2"], ["--database", "oracle"]])
def test_option_without_sense_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse(words)
    assert caught.value.code == 2 and words[0] in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert "--database postgres" in capsys.readouterr().out


def test_rows_that_belong_to_deleted_instances_are_left_over(stack: tuple[Stack, Options]):
    own, _ = stack
    world = own.world()
    rows = world.rows
    gone = rows.instances[0].model_copy(update={"vm_state": "deleted"})
    left = list(rows_left(world.model_copy(update={"rows": rows.model_copy(update={"instances": (gone,)})})))
    assert any("may still run" in each for each in left) and any("port" in each for each in left)
