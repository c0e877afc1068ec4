"""Before a guest may start, hosts are asked for it; what they have is in the store before that decides."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import pytest

from activities.elsewhere import Elsewhere
from evacuation.errors import InstanceMisplacedError
from evacuation.messages import GuestState, HostReport
from evacuation.model import PowerState

WEB = "7c9a5e0e-0000-4000-8000-000000000001"
OFF_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def report(power: PowerState | None = None) -> HostReport:
    guests = (GuestState(instance_id=WEB, epoch=1, power_state=power),) if power else ()
    return HostReport(host="cmp-3", hypervisor_uuid="u", machine_id="m", incarnation="boot-1", guests=guests)


class Store:
    """It refuses a start while the last that it was told of is that the guest runs on cmp-3."""

    def __init__(self, *answers: HostReport) -> None:
        self.answers = list(answers)
        self.looked: list[datetime] = []
        self.seen: Sequence[HostReport] = ()
        self.started = 0

    def find(self, instances: Collection[str], since: datetime) -> Sequence[HostReport]:
        assert tuple(instances) == (WEB,)
        self.looked.append(since)
        return (self.answers.pop(0),) if self.answers else ()

    def record(self, instances: Collection[str], reports: Sequence[HostReport]) -> None:
        self.seen = reports

    def start(self) -> str:
        if any(guest.power_state is PowerState.RUNNING for each in self.seen for guest in each.guests):
            raise InstanceMisplacedError("web-01 was seen on cmp-3")
        self.started += 1
        return "started"


@pytest.fixture(autouse=True)
def scheduled(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """When the activity was asked for."""
    now = datetime.now(UTC)
    monkeypatch.setattr("activities.elsewhere.activity.info", lambda: type("Info", (), {"scheduled_time": now}))
    return now


def before(store: Store, since: datetime | None = OFF_SINCE) -> str:
    return Elsewhere(store.record, store, time_scale=0).before(store.start, WEB, since)


def test_guest_that_no_host_has_is_started_after_one_look(scheduled: datetime):
    store = Store(report())
    assert (before(store), store.looked) == ("started", [OFF_SINCE])
    assert (before(store, None), store.looked[1:]) == ("started", [scheduled])


def test_guest_that_a_host_has_is_not_started(scheduled: datetime):
    store = Store(report(PowerState.RUNNING), report(PowerState.RUNNING))
    with pytest.raises(InstanceMisplacedError):
        before(store)
    assert (store.started, store.looked) == (0, [OFF_SINCE, scheduled])


def test_guest_that_is_over_when_it_is_looked_for_again_is_started():
    store = Store(report(PowerState.RUNNING), report(PowerState.SHUTDOWN))
    assert before(store) == "started"


def test_hosts_that_do_not_answer_are_no_obstacle():
    assert before(Store()) == "started"
    assert Elsewhere().before(lambda: "started", WEB) == "started", "nor that nobody can be asked"


def test_refusal_for_a_guest_that_is_over_is_looked_at_once_more_and_nothing_else_is(scheduled: datetime):
    store = Store(report())
    elsewhere = Elsewhere(store.record, store, time_scale=0)
    assert (elsewhere.unless_over(store.start, WEB), store.looked) == ("started", [])
    store.seen = (report(PowerState.RUNNING),)
    assert (elsewhere.unless_over(store.start, WEB), store.looked) == ("started", [scheduled])
    store.seen = (report(PowerState.RUNNING),)
    store.answers = [report(PowerState.RUNNING)]
    with pytest.raises(InstanceMisplacedError):
        elsewhere.unless_over(store.start, WEB)
