"""A host whose power is cut for real in a driver's hands, while it does what hosts do: boots, dies, stays on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select
from temporalio.testing import ActivityEnvironment

from activities.fencing import FencingActivities
from evacuation import messages as m
from evacuation.errors import CutOverError, FenceFailedError
from evacuation.model import Evidence
from services.sql.tables import CutRow
from tests.integration.sql.world import World


class Power:
    """One host's power. `before_the_order`: before the last look; `under_the_cut`: when the command is on its way, and
    it is still on; `after_a_look`: once its power was read."""

    def __init__(self) -> None:
        self.on = True
        self.cuts = 0
        self.before_the_order: Callable[[], object] = lambda: None
        self.under_the_cut: Callable[[], object] = lambda: None
        self.after_a_look: Callable[[], object] = lambda: None

    kind = "switch"

    def kind_of(self, host: str) -> str:
        return self.kind

    def is_able(self, host: str) -> bool:
        return True

    def is_off(self, host: str) -> bool:
        was_on = self.on
        then, self.after_a_look = self.after_a_look, lambda: None
        then()
        return not was_on

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        return self.is_off(host)

    def doubt_about(self, host: str) -> str | None:
        return None

    def boot_of(self, host: str) -> str | None:
        return None

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        self.before_the_order()
        last_look()
        self.cuts += 1
        self.under_the_cut()
        self.on = False


class Died(BaseException):
    """The worker is killed here."""


class Ground:
    def __init__(self, world: World) -> None:
        self.world, self.power = world, Power()
        self.evidence = world.services.evidence
        self.activities = FencingActivities(self.evidence, self.power)

    def fence(self, execution: int = 1) -> Evidence:
        environment = ActivityEnvironment()
        longest = timedelta(minutes=1)
        environment.info = replace(environment.info, attempt=execution, start_to_close_timeout=longest)
        request = m.FenceRequest(host="cmp-1", incarnation="boot-1", instance_id=self.world.id_of("web-01"))
        return environment.run(self.activities.fence_source, request)

    def boot(self, boot: str = "boot-2") -> m.ReturnPlan:
        return self.world.services.hosts.register(self.world.report("cmp-1", boot))

    def said_of(self, boot: str) -> str | None:
        found = self.evidence.current_evidence("cmp-1", boot)
        return found.kind.value if found else None

    @property
    def state(self) -> str:
        return self.world.host("cmp-1").state


@pytest.fixture
def ground(world: World) -> Ground:
    return Ground(world)


def test_every_boot_that_was_under_the_cut_is_proven_off_and_the_host_is_down(ground: Ground) -> None:
    waits: list[bool] = []
    ground.power.under_the_cut = lambda: waits.append(ground.boot().being_cut)
    ground.fence()
    assert waits == [True]
    assert (ground.said_of("boot-1"), ground.said_of("boot-2"), ground.state) == ("power-off", "power-off", "down")
    assert not ground.boot("boot-3").being_cut


def test_boot_that_comes_up_between_the_look_and_the_cut_is_left_alone(ground: Ground) -> None:
    ground.power.after_a_look = lambda: ground.world.bring_up("cmp-1", "boot-2")
    assert ground.fence().kind.value == "new-incarnation"
    assert (ground.power.cuts, ground.said_of("boot-2"), ground.state) == (0, None, "up")


def test_boot_that_comes_up_after_the_cut_was_read_back_is_not_said_to_be_off(ground: Ground) -> None:
    def up_after_the_next_look() -> None:
        ground.power.after_a_look = ground.boot

    ground.power.under_the_cut = up_after_the_next_look
    ground.fence()
    assert (ground.said_of("boot-1"), ground.said_of("boot-2")) == ("power-off", None)
    assert not ground.boot().being_cut
    ground.world.bring_up("cmp-1", "boot-2")
    assert ground.state == "up"


def _lapse(ground: Ground) -> None:
    """The time of what is announced is over, as if it had been announced long ago."""

    def back(session: Session) -> None:
        for cut in session.exec(select(CutRow)).all():
            cut.until = datetime.now(UTC) - timedelta(seconds=1)

    ground.world.services.database.write(back)


def _made_anew(ground: Ground) -> None:
    """The next execution has cut it, and it has come back since."""
    ground.power.before_the_order = lambda: None
    ground.fence(execution=2)
    ground.power.on = True
    ground.world.bring_up("cmp-1", "boot-2")


def _come_back(ground: Ground) -> None:
    _lapse(ground)
    ground.world.bring_up("cmp-1", "boot-2")


@pytest.mark.parametrize(
    ("meanwhile", "cuts"),
    [(_made_anew, 1), (_come_back, 0), (Ground.boot, 0)],
    ids=["made again", "lapsed", "booted under it"],
)
def test_order_that_comes_late_cuts_no_later_boot(
    ground: Ground, meanwhile: Callable[[Ground], object], cuts: int
) -> None:
    """Whoever made it was frozen between the announcement and the order."""
    ground.power.before_the_order = lambda: meanwhile(ground)
    assert ground.fence().kind.value == ("power-off" if meanwhile is _made_anew else "new-incarnation")
    assert (ground.power.on, ground.power.cuts, ground.said_of("boot-2")) == (True, cuts, None)
    assert not ground.boot().being_cut


def test_order_that_comes_late_leaves_the_announcement_of_the_next_execution(ground: Ground) -> None:
    def announced_anew() -> None:
        ground.power.before_the_order = lambda: None
        ground.power.under_the_cut = die
        with pytest.raises(Died):
            ground.fence(execution=2)

    def die() -> None:
        raise Died

    ground.power.before_the_order = announced_anew
    with pytest.raises(CutOverError):
        ground.fence()
    assert ground.boot().being_cut


def test_cut_that_has_lapsed_is_not_recorded_of_a_host_that_did_not_boot(ground: Ground) -> None:
    ground.power.under_the_cut = lambda: _lapse(ground)
    with pytest.raises(CutOverError) as caught:
        ground.fence()
    assert caught.value.retryable and ground.said_of("boot-1") is None
    assert ground.fence(execution=2).kind.value == "power-off"


def test_cut_that_has_lapsed_cannot_be_finished_late(ground: Ground) -> None:
    """Frozen when the order was given: it is read back long after."""
    ground.power.under_the_cut = lambda: _come_back(ground)
    assert ground.fence().kind.value == "new-incarnation"
    assert (ground.said_of("boot-1"), ground.said_of("boot-2"), ground.state) == ("new-incarnation", None, "up")


def _die_over_it(ground: Ground, *, off: bool) -> None:
    """The worker dies when the command was given; a boot has registered meanwhile."""

    def die() -> None:
        ground.boot()
        ground.power.on = not off
        raise Died

    ground.power.under_the_cut = die
    with pytest.raises(Died):
        ground.fence()
    ground.power.under_the_cut = lambda: None
    assert ground.boot().being_cut, "it waits: nobody knows yet what became of it"


def test_cut_whose_worker_died_is_read_back_before_anything_comes_back(ground: Ground) -> None:
    _die_over_it(ground, off=True)
    ground.fence(execution=2)
    assert (ground.said_of("boot-1"), ground.said_of("boot-2"), ground.state) == ("power-off", "power-off", "down")
    assert (ground.power.cuts, ground.boot("boot-3").being_cut) == (1, False)


def test_cut_whose_worker_died_before_it_was_off_lets_the_boot_go_on_that_is_there(ground: Ground) -> None:
    _die_over_it(ground, off=False)
    assert ground.fence(execution=2).kind.value == "new-incarnation"
    assert (ground.power.cuts, ground.said_of("boot-2"), ground.boot().being_cut) == (1, None, False)


def test_cut_that_fails_leaves_the_host_as_it_was_and_is_made_again(ground: Ground) -> None:
    def fail() -> None:
        raise FenceFailedError("the BMC does not answer")

    ground.power.under_the_cut = fail
    with pytest.raises(FenceFailedError):
        ground.fence()
    assert (ground.state, ground.said_of("boot-1")) == ("up", None)
    ground.power.under_the_cut = lambda: None
    assert ground.fence(execution=2).kind.value == "power-off"
    assert ground.state == "down"


def test_host_that_read_off_and_boots_before_it_is_told_to_power_off_is_let_be(ground: Ground) -> None:
    """The boot that was meant is over, and the one that has come since was not cut."""
    ground.power.on = False
    ground.power.after_a_look = ground.boot
    ground.fence()
    assert (ground.said_of("boot-1"), ground.said_of("boot-2")) == ("new-incarnation", None)
    assert ground.power.cuts == 0
