"""A store that was restored from a backup starts no second copy, and goes on once it is reconciled with what runs."""

import pytest

from evacuation import messages as m
from evacuation.errors import ResidenceNotProvenError, StaleAttemptError, StoreBehindError
from evacuation.invariants import SeenGuest, find_breaches
from evacuation.invariants import World as Picture
from evacuation.ledger import LedgerMark, StartMark, Witness
from evacuation.model import PowerState
from services.hypervisors.ledger import HostLedger
from services.sql import SqlServices
from tests.integration.sql.world import Evacuation, World
from tests.support.backups import Backup

POINTS = ("begun", "claimed", "authorized", "started")
LOST = ("begun", "claimed")
"""At these the backup does not know of the start."""


class Past:
    """web-01 was evacuated from cmp-1 to cmp-2, and its guest runs there; the store is the backup of `point`."""

    def __init__(self, world: World, point: str) -> None:
        self.world, self.services = world, world.services
        self.backups: dict[str, Backup] = {}
        self.cmp_2 = HostLedger(None)
        world.fence()
        self.evacuation = world.evacuation()
        self.evacuation.begin()
        self._keep("begun")
        self.evacuation.claim()
        self._keep("claimed")
        for step in (self.evacuation.prepare, self.evacuation.bind, self.evacuation.detach, self.evacuation.attach):
            step()
        self.authorized = self.evacuation.authorize()
        self._keep("authorized")
        self.cmp_2.note(self.authorized.ledger)
        self.services.store.record_start(self.evacuation.at(1))
        self._keep("started")
        self.evacuation.finish()
        self.backups[point].restore()

    def _keep(self, point: str) -> None:
        self.backups[point] = Backup(self.services.database._engine)

    @property
    def witness(self) -> Witness:
        known = self.cmp_2.known()
        assert known is not None
        return Witness(who="cmp-2", mark=known)

    @property
    def memo(self) -> StartMark:
        return StartMark(**dict(self.witness.mark), epoch=self.authorized.epoch)

    @property
    def placed(self) -> StartMark:
        return self.memo.model_copy(update={"host": "cmp-2", "incarnation": "boot-1"})

    def reports(self) -> tuple[m.HostReport, ...]:
        """cmp-1 is dead; cmp-3 has been told nothing."""
        id = self.world.id_of("web-01")
        here = (m.GuestState(instance_id=id, epoch=2, power_state=PowerState.RUNNING), *self._others())
        first = self.world.report("cmp-2", guests=here).model_copy(update={"ledger": self.witness.mark})
        return (first, self.world.report("cmp-3"))

    def _others(self) -> tuple[m.GuestState, ...]:
        other = self.world.id_of("web-03")
        return (m.GuestState(instance_id=other, epoch=1, power_state=PowerState.RUNNING),)

    def reconcile(self, *, running: frozenset[str] = frozenset()) -> m.Reconciled:
        found = m.Reconcile(
            reports=self.reports(), unasked=("cmp-1",), starts={self.world.id_of("web-01"): self.memo}, running=running
        )
        return self.services.ledger.reconcile(found)


@pytest.fixture
def past(world: World, request: pytest.FixtureRequest) -> Past:
    return Past(world, request.param)


def _adopt(past: Past) -> Evacuation:
    second = past.world.evacuation(owner="run-2")
    second.begin(adopts=m.OpenEvacuation(evacuation_id="ev-1", owner="run-1"))
    return second


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_no_second_copy_is_authorised_on_a_host_that_has_seen_the_first(past: Past) -> None:
    if past.services.views.evacuations()[0].attempt == 0:
        past.evacuation.claim()
    message = m.AuthorizeSpawn(ref=past.evacuation.at(1), host="cmp-2", incarnation="boot-1", witnessed=(past.witness,))
    with pytest.raises(StoreBehindError, match="cmp-2") as refused:
        past.services.store.authorize_spawn(message)
    assert "evacuate store reconcile" in refused.value.line
    assert [each.epoch for each in past.services.views.residences() if each.instance == "web-01"] == [1]


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_no_second_copy_is_begun_for_elsewhere_when_only_temporal_knows(past: Past) -> None:
    with pytest.raises(StoreBehindError, match="the last evacuation of web-01"):
        past.services.store.check_facts(past.world.id_of("web-01"), witnessed=past.memo)
    with pytest.raises(StoreBehindError):
        past.world.evacuation("web-02", "ev-2")
    assert past.services.ledger.show().doubt is not None


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_check_tells_a_backup_by_what_a_host_has_seen_before_any_command_was_refused(past: Past) -> None:
    """Until it is reconciled; nothing is written by the look."""
    views, guest = past.services.views, _guest_of(past)
    found = find_breaches(Picture(rows=views.everything(), guests=(guest,), witnesses=(past.witness,)))
    assert {each.rule for each in found} >= {"store-behind", "not-allowed"}
    assert all("evacuate store reconcile" in each.remedy for each in found)
    assert past.services.ledger.show().doubt is None
    past.reconcile()
    assert find_breaches(Picture(rows=views.everything(), guests=(guest,), witnesses=(past.witness,))) == ()


def _guest_of(past: Past) -> SeenGuest:
    id = past.world.id_of("web-01")
    return SeenGuest(host="cmp-2", incarnation="boot-1", instance_id=id, epoch=2, pid=1, writes=True)


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_healthy_guest_is_not_destroyed_by_the_return_of_its_host(past: Past) -> None:
    with pytest.raises(StoreBehindError):
        past.services.hosts.register(past.reports()[0])
    past.reconcile()
    assert past.services.hosts.register(past.reports()[0]).destroy == ()


@pytest.mark.parametrize("past", POINTS, indirect=True)
def test_what_runs_lives_where_it_runs_once_the_store_is_reconciled(past: Past) -> None:
    past.services.evidence.record_evidence(past.world.fence("cmp-3", "boot-0"))
    done = past.reconcile()
    services, web = past.services, past.world.instance()
    assert (web.host, web.vm_state, web.task_state, web.power_state, web.epoch) == (
        "cmp-2",
        "active",
        None,
        "running",
        2,
    )
    assert [
        (each.host, each.epoch) for each in services.views.residences() if each.instance == "web-01" and not each.proof
    ] == [("cmp-2", 2)]
    assert [each.instance for each in done.moved] == ["web-01"]
    assert done.not_asked == ("cmp-1",)
    assert past.world.allocations() == {("instance", "cmp-2")}
    assert [each.outcome.outcome for each in services.views.evacuations() if each.outcome] == ["recovered"]
    assert find_breaches(Picture(rows=services.views.everything())) == ()
    ledger = services.ledger.show()
    assert ledger.doubt is None
    assert ledger.position > past.witness.mark.position


@pytest.mark.parametrize("past", POINTS, indirect=True)
def test_everything_goes_on_once_the_store_is_reconciled(past: Past) -> None:
    """web-01 is evacuated again, from cmp-2, with an epoch that nobody has had."""
    past.reconcile()
    with pytest.raises(StaleAttemptError):
        past.evacuation.prepare()
    past.world.fence("cmp-2")
    again = past.world.evacuation(evacuation_id="ev-2", owner="run-3")
    past.services.store.check_facts(again.ref.instance_id, witnessed=past.memo)
    again.begin()
    to = again.claim(target="cmp-3")
    assert to.epoch == 3


@pytest.mark.parametrize("past", ("authorized", "started"), indirect=True)
def test_evacuation_whose_start_the_backup_knows_goes_forward_by_itself(past: Past) -> None:
    second = _adopt(past)
    past.services.store.record_start(second.at(1))
    second.finish()
    assert past.world.instance().host == "cmp-2"


@pytest.mark.parametrize("past", ("started",), indirect=True)
def test_evacuation_whose_workflow_runs_is_left_to_it(past: Past) -> None:
    id = past.world.id_of("web-01")
    assert past.reconcile(running=frozenset({id})).moved == ()
    past.evacuation.finish()
    assert past.world.instance().host == "cmp-2"


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_host_that_could_not_be_asked_is_reconciled_when_it_comes_back(past: Past) -> None:
    """cmp-2 was silent: its guest is not destroyed, and lives there."""
    past.services.ledger.reconcile(m.Reconcile(reports=(past.world.report("cmp-3"),), unasked=("cmp-1", "cmp-2")))
    quiet = past.reports()[0].model_copy(update={"ledger": None})
    plan = past.services.hosts.register(quiet)
    assert plan.destroy == ()
    assert past.world.instance().host == "cmp-2"
    assert past.services.ledger.show().hosts_not_asked == ("cmp-1",)


@pytest.mark.parametrize("past", ["begun"], indirect=True)
def test_host_that_has_booted_since_the_backup_starts_its_guests_after_the_reconciliation(past: Past) -> None:
    """It could not come back before that: its return was refused."""
    booted = past.world.report("cmp-3", "boot-2")
    home = past.world.evacuation("web-03", "ev-home").facts.instance
    assert home.source == "cmp-2"
    first = past.reports()[0].model_copy(update={"incarnation": "boot-2", "guests": ()})
    past.services.ledger.reconcile(m.Reconcile(reports=(first, booted), unasked=("cmp-1",), starts={}))
    assert [past.world.host(name).state for name in ("cmp-2", "cmp-3")] == ["down", "down"]
    assert [key.name for key in past.world.bring_up("cmp-2", "boot-2").start] == ["web-03"]
    assert past.world.host("cmp-2").state == "up"


def _reconcile_without_a_look(
    past: Past, start: StartMark | None = None, *, empty: bool = False, runs: bool = False
) -> m.Reconciled:
    """cmp-2 is silent, or, if it is `empty`, has nothing of web-01; `runs`: its evacuation's workflow."""
    id = past.world.id_of("web-01")
    reports = (past.world.report("cmp-3"), *((past.world.report("cmp-2"),) if empty else ()))
    found = m.Reconcile(
        reports=reports,
        unasked=("cmp-1",) if empty else ("cmp-1", "cmp-2"),
        starts={id: start or past.placed},
        running=frozenset({id}) if runs else frozenset(),
    )
    return past.services.ledger.reconcile(found)


def _unproven(past: Past) -> list[tuple[str, int]]:
    rows = past.services.views.residences()
    return [(each.host, each.epoch) for each in rows if each.instance == "web-01" and not each.proof]


def _start_elsewhere(past: Past) -> m.Authorized:
    """As an adoption does, once what was left is unwound."""
    second = _adopt(past)
    attempt = past.services.views.evacuations()[0].attempt
    if attempt:
        second.tear_down(attempt)
    second.claim(attempt + 1, "cmp-3")
    for step in (second.prepare, second.detach):
        step(attempt + 1)
    second.attach(attempt + 1, "cmp-3")
    return second.authorize(attempt + 1, "cmp-3")


@pytest.mark.parametrize("runs", [False, True], ids=["no-workflow", "workflow"])
@pytest.mark.parametrize("past", ("begun",), indirect=True)
def test_no_copy_starts_elsewhere_before_a_host_that_could_not_be_asked_is_proven_empty(past: Past, runs: bool) -> None:
    done = _reconcile_without_a_look(past, runs=runs)
    assert done.awaited == ("web-01 on cmp-2 (epoch 2)",)
    assert _unproven(past) == [("cmp-2", 2)]
    with pytest.raises(ResidenceNotProvenError, match="cmp-2"):
        _start_elsewhere(past)
    past.world.fence("cmp-2")
    assert past.evacuation.world.evacuation(owner="run-2").authorize(1, "cmp-3").epoch == 3


@pytest.mark.parametrize("where", ["memo", "attempt"])
@pytest.mark.parametrize("past", ("claimed",), indirect=True)
def test_start_that_the_backup_was_about_to_make_is_settled_by_who_adopts_it(past: Past, where: str) -> None:
    """By the attempt, where the run before wrote no host down."""
    _reconcile_without_a_look(past, past.placed if where == "memo" else past.memo)
    assert _unproven(past) == [("cmp-2", 2)]
    second = _adopt(past)
    assert second.begin(adopts=m.OpenEvacuation(evacuation_id="ev-1", owner="run-1")).phase == "authorized"
    second.finish()
    assert past.world.instance().host == "cmp-2"


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_start_that_may_come_yet_is_awaited_where_its_host_has_answered_already(past: Past) -> None:
    """A host's call goes on when the control workers have ended. Reconciled again, it is known what became of it."""
    assert _reconcile_without_a_look(past, empty=True, runs=True).awaited == ("web-01 on cmp-2 (epoch 2)",)
    assert _unproven(past) == [("cmp-2", 2)]
    assert [each.destination for each in past.reconcile().moved] == ["cmp-2"]
    assert past.world.instance().host == "cmp-2"
    assert find_breaches(Picture(rows=past.services.views.everything())) == ()


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_start_that_did_not_come_is_awaited_no_more(past: Past) -> None:
    _reconcile_without_a_look(past, empty=True, runs=True)
    assert _reconcile_without_a_look(past, empty=True).awaited == ()
    assert _unproven(past) == []
    assert _start_elsewhere(past).epoch == 3


@pytest.mark.parametrize("past", LOST, indirect=True)
def test_start_of_a_host_that_has_answered_is_not_awaited_when_nobody_waits_for_it(past: Past) -> None:
    assert _reconcile_without_a_look(past, empty=True).awaited == ()
    assert _unproven(past) == [("cmp-1", 1)]


@pytest.mark.parametrize("past", ("begun",), indirect=True)
def test_guest_that_was_awaited_lives_where_it_runs_when_its_host_comes_back(past: Past) -> None:
    _reconcile_without_a_look(past)
    plan = past.services.hosts.register(past.reports()[0].model_copy(update={"ledger": None}))
    assert plan.destroy == ()
    assert past.world.instance().host == "cmp-2"


@pytest.mark.parametrize("past", ("begun",), indirect=True)
def test_boot_that_the_backup_does_not_know_is_no_older_one(past: Past) -> None:
    _reconcile_without_a_look(past, past.placed.model_copy(update={"incarnation": "boot-2"}))
    assert past.world.host("cmp-2").state == "down", "it goes through its return"
    with pytest.raises(ResidenceNotProvenError, match="boot-2"):
        _start_elsewhere(past)


def test_two_running_copies_are_left_to_a_person(world: World) -> None:
    id = world.id_of("web-01")
    both = tuple(
        world.report(host, guests=(m.GuestState(instance_id=id, epoch=epoch, power_state=PowerState.RUNNING),))
        for host, epoch in (("cmp-1", 1), ("cmp-2", 2))
    )
    done = world.services.ledger.reconcile(m.Reconcile(reports=both))
    assert done.conflicts == ("web-01 runs on cmp-1 and on cmp-2",)
    assert done.moved == ()
    assert world.instance().host == "cmp-1"


def test_fleet_that_was_loaded_anew_is_reconciled_and_remembers_what_it_replaces(services: SqlServices) -> None:
    seen = LedgerMark(ledger="before", position=900)
    world = World(services)
    report = world.report("cmp-2").model_copy(update={"ledger": seen})
    with pytest.raises(StoreBehindError, match="another one"):
        services.hosts.register(report)
    stranger = m.GuestState(instance_id="stranger", epoch=4, power_state=PowerState.RUNNING)
    done = services.ledger.reconcile(m.Reconcile(reports=(report.model_copy(update={"guests": (stranger,)}),)))
    assert done.unknown == ("cmp-2: stranger",)
    mark = services.hosts.register(report).ledger
    assert mark is not None
    host = HostLedger(None)
    host.note(seen)
    host.note(mark)
    assert host.known() == mark
