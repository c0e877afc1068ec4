"""What counts as proof that a host is off, and what is never done to get it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from temporalio.testing import ActivityEnvironment

from activities.fencing import FencingActivities
from evacuation.errors import (
    BmcUnreachableError,
    CutOverError,
    EvidenceMissingError,
    FenceDeclinedError,
    FenceFailedError,
    NobodyWaitsError,
    PowerReadsOnError,
    PowerUnreadError,
    SourceNotFencedError,
    SourceReturnedError,
    StorageNotRevokedError,
)
from evacuation.fencing import FencingPolicy
from evacuation.messages import FenceRequest, PowerQuery
from evacuation.model import Evidence, EvidenceKind, PowerReading, Rejection
from evacuation.ports import FencingDriver

REQUEST = FenceRequest(host="cmp-1", incarnation="boot-1", instance_id="i-1")
WORD = REQUEST.model_copy(update={"statement": "Jo pulled the plug", "who": "jo"})
SPARING = REQUEST.model_copy(update={"spare_others": True})


class Power:
    """One host's power: on or off, able to be switched or not, or stuck on."""

    kind = "switch"

    def __init__(self, *, on: bool = True, able: bool = True, stuck: bool = False) -> None:
        self.on, self.able, self.stuck = on, able, stuck
        self.meanwhile: Callable[[], object] = lambda: None

    def kind_of(self, host: str) -> str:
        return self.kind

    def is_able(self, host: str) -> bool:
        return self.able

    def is_off(self, host: str) -> bool:
        return not self.on

    def stays_off(self, host: str, beat: Callable[[], None]) -> bool:
        return self.is_off(host)

    def doubt_about(self, host: str) -> str | None:
        return None

    def boot_of(self, host: str) -> str | None:
        return None

    def power_off(
        self, host: str, boot: str | None, *, last_look: Callable[[], None], beat: Callable[[], None]
    ) -> None:
        self.meanwhile()
        last_look()
        self.on = self.stuck


UNREADABLE = "the BMC does not answer"


class DeadBmc(Power):
    def is_off(self, host: str) -> bool:
        raise BmcUnreachableError(UNREADABLE)


class Notebook:
    """What is known, whether a fence was begun, and who is cutting. `boot` is the one that is registered."""

    def __init__(self, *, known: Evidence | None = None, others: bool = False) -> None:
        self.known, self.others = known, others
        self.opened = False
        self.boot = "boot-1"
        self.cuts: dict[str, datetime] = {}
        self.said: list[Evidence] = []
        self.readings: list[PowerReading] = []

    def open_fence(self, request: FenceRequest) -> Evidence | None:
        self.opened = True
        return self.usable_evidence(request.host, request.incarnation, request.instance_id)

    def registered_boot(self, host: str) -> str | None:
        return self.boot

    def begin_cut(self, request: FenceRequest, by: str, until: datetime) -> Evidence | None:
        if self.known is None and request.spare_others and self.others:
            raise FenceDeclinedError("web-02 may run there")
        self.cuts |= {by: until} if self.known is None else {}
        return self.known

    def require_cut(self, request: FenceRequest, by: str, until: datetime) -> None:
        if self.cuts.get(by) != until:
            raise CutOverError("it is over")

    def end_cut(self, host: str, by: str, proofs: Sequence[Evidence], until: datetime | None = None) -> None:
        if until in (None, self.cuts.get(by)):
            self.cuts.pop(by, None)
        self.said += proofs
        for each in proofs:
            self.record_evidence(each)

    def current_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        return self.known

    def usable_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        """Asks for a reading of the power as the store does: once, before a word is used."""
        known = self.current_evidence(host, incarnation, instance_id)
        if known is not None and known.kind is EvidenceKind.OPERATOR and not self.readings:
            raise PowerUnreadError("read it", hosts=(Rejection(host=host, reason="unread"),))
        return known

    def record_reading(self, host: str, reading: PowerReading, since: datetime) -> None:
        self.readings.append(reading)
        if reading is PowerReading.ON:
            self.void_evidence(host, self.boot, "reads on")

    def record_evidence(self, evidence: Evidence) -> Evidence:
        self.known = self.known or evidence
        return self.known

    def void_evidence(self, host: str, incarnation: str, why: str) -> None:
        self.known = None


KNOWN = Evidence(
    kind=EvidenceKind.OPERATOR,
    host="cmp-1",
    incarnation="boot-1",
    who="jo",
    reason="seen",
    at=datetime(2026, 1, 1, tzinfo=UTC),
)


def fence(request: FenceRequest, power: FencingDriver, notes: Notebook) -> Evidence:
    return ActivityEnvironment().run(FencingActivities(notes, power).fence_source, request)


def fence_destination(power: FencingDriver, notes: Notebook) -> Evidence:
    return ActivityEnvironment().run(FencingActivities(notes, power).fence_destination, SPARING)


def look(power: FencingDriver, notes: Notebook) -> PowerReading:
    query = PowerQuery(host="cmp-1", incarnation=None)
    return ActivityEnvironment().run(FencingActivities(notes, power).read_power, query)


def take_word(request: FenceRequest, power: FencingDriver, notes: Notebook) -> None:
    ActivityEnvironment().run(FencingActivities(notes, power).take_word, request)


def test_fence_cuts_the_power_reads_it_back_and_records_that_boot():
    power, notes = Power(), Notebook()
    proof = fence(REQUEST, power, notes)
    assert (proof.kind, proof.host, proof.incarnation, proof.who) == (
        EvidenceKind.POWER_OFF,
        "cmp-1",
        "boot-1",
        "switch",
    )
    assert not power.on and notes.known == proof


def test_fence_takes_what_is_known_and_leaves_the_power_alone():
    assert fence(REQUEST, DeadBmc(), Notebook(known=KNOWN)) == KNOWN


def test_fence_of_a_host_that_is_off_already_says_so():
    assert fence(REQUEST, Power(on=False), Notebook()).reason == "found off, and told to power off, read back: off"


def test_fence_fails_without_evidence_when_the_power_still_reads_on():
    notes = Notebook()
    with pytest.raises(FenceFailedError):
        fence(REQUEST, Power(stuck=True), notes)
    assert notes.known is None


def test_fence_is_refused_with_a_remedy_when_nothing_can_cut_the_power():
    with pytest.raises(SourceNotFencedError) as caught:
        fence(REQUEST, Power(able=False), Notebook())
    assert "--confirmed-off" in caught.value.remedy


def test_fence_takes_an_operators_word_where_no_driver_can_tell():
    proof = fence(WORD, Power(able=False), Notebook())
    assert (proof.kind, proof.who, proof.reason) == (EvidenceKind.OPERATOR, "jo", "Jo pulled the plug")


def test_fence_takes_no_word_against_a_power_that_reads_on():
    notes = Notebook()
    with pytest.raises(FenceFailedError, match="reads on: it is not off"):
        fence(WORD, Power(stuck=True), notes)
    assert notes.known is None


def test_word_that_was_given_before_counts_for_nothing_against_a_power_that_reads_on():
    power, notes = Power(), Notebook(known=KNOWN)
    assert fence(REQUEST, power, notes).kind is EvidenceKind.POWER_OFF
    assert not power.on and notes.readings == [PowerReading.ON]


def test_word_that_a_power_contradicts_which_the_policy_does_not_name_is_void():
    ground = Ground("1 of operator", Power())
    ground.notes.record_evidence(KNOWN)
    with pytest.raises(FenceFailedError):
        ground.fence()
    assert ground.power.on and ground.notes.kept == []


def test_word_is_taken_alone_unless_the_power_reads_on():
    for power in (Power(able=False), Power(on=False), DeadBmc()):
        notes = Notebook()
        ActivityEnvironment().run(FencingActivities(notes, power).take_word, WORD)
        assert notes.known is not None and notes.known.reason == "Jo pulled the plug"
    notes = Notebook(known=KNOWN)
    with pytest.raises(PowerReadsOnError) as caught:
        ActivityEnvironment().run(FencingActivities(notes, Power()).take_word, WORD)
    assert notes.known is None and caught.value.remedy == "evacuate host down cmp-1 --power-off"


def test_power_is_cut_for_a_person_whatever_was_said():
    power, notes = Power(), Notebook(known=KNOWN)
    ActivityEnvironment().run(FencingActivities(notes, power).cut_power, REQUEST)
    assert not power.on and notes.known is not None and notes.known.kind is EvidenceKind.POWER_OFF


@pytest.mark.parametrize("stop", ["lapsed", "taken over", "nobody waits"])
def test_order_that_comes_late_is_not_given(stop: str):
    """The driver was entered long after the cut was announced."""
    power, notes = Power(), Notebook()
    others = datetime(2026, 1, 1, tzinfo=UTC)

    def late() -> None:
        mine = next(iter(notes.cuts))
        notes.cuts = {"lapsed": {}, "taken over": {mine: others}}.get(stop, notes.cuts)

    def nobody_waits() -> None:
        if stop == "nobody waits":
            raise NobodyWaitsError("its workflow is over")

    power.meanwhile = late
    activities = FencingActivities(notes, power, last_look=nobody_waits)
    for cut in (activities.fence_source, activities.cut_power):
        with pytest.raises(CutOverError) as caught:
            ActivityEnvironment().run(cut, REQUEST)
        assert caught.value.retryable and power.on and notes.said == []
        assert list(notes.cuts.values()) == ([others] if stop == "taken over" else [])


def test_power_that_nothing_can_cut_is_refused_to_a_person():
    with pytest.raises(SourceNotFencedError):
        ActivityEnvironment().run(FencingActivities(Notebook(), Power(able=False)).cut_power, REQUEST)


def test_host_that_came_up_anew_is_not_said_to_have_been_cut():
    notes = Notebook()
    notes.boot = "boot-2"
    with pytest.raises(SourceReturnedError, match="boot-2"):
        ActivityEnvironment().run(FencingActivities(notes, Power(on=False)).cut_power, REQUEST)


def test_fence_prefers_what_it_measured_to_an_operators_word():
    assert fence(WORD, Power(), Notebook()).kind is EvidenceKind.POWER_OFF


def test_destination_that_is_off_is_evidence_whoever_lives_there():
    assert fence_destination(Power(on=False), Notebook(others=True)).kind is EvidenceKind.POWER_OFF


def test_destination_is_not_switched_off_when_others_may_live_there():
    power = Power()
    with pytest.raises(FenceDeclinedError):
        fence_destination(power, Notebook(others=True))
    assert power.on


def test_destination_that_nothing_can_switch_off_is_refused_and_not_taken_down():
    notes = Notebook()
    with pytest.raises(SourceNotFencedError):
        fence_destination(Power(able=False), notes)
    assert not notes.opened


def test_destination_that_nothing_can_switch_off_is_proven_by_what_is_known():
    assert fence_destination(Power(able=False), Notebook(known=KNOWN)) == KNOWN


class Disks:
    """A volume service that takes a guest's disks away, or cannot."""

    def __init__(self, notes: "PolicyNotebook", *, able: bool = True, fails: bool = False) -> None:
        self.notes, self.able, self.fails = notes, able, fails

    def is_able(self, instance_id: str) -> bool:
        return self.able

    def revoke(self, request: FenceRequest, beat: Callable[[], None]) -> Evidence:
        beat()
        if self.fails:
            raise StorageNotRevokedError("a disk is still exported")
        return self.notes.record_evidence(KNOWN.model_copy(update={"kind": EvidenceKind.STORAGE_REVOKED}))


class PolicyNotebook(Notebook):
    """Keeps each kind, and answers as the policy says."""

    def __init__(self, policy: str, *, others: bool = False) -> None:
        super().__init__(others=others)
        self.policy = FencingPolicy.parse(policy)
        self.kept: list[Evidence] = []

    def open_fence(self, request: FenceRequest) -> Evidence | None:
        self.known = self.current_evidence("", None)
        return super().open_fence(request)

    def current_evidence(self, host: str, incarnation: str | None, instance_id: str | None = None) -> Evidence | None:
        return self.policy.proof(self.kept)

    def record_evidence(self, evidence: Evidence) -> Evidence:
        self.kept.append(evidence)
        return evidence

    def void_evidence(self, host: str, incarnation: str, why: str) -> None:
        self.kept = [each for each in self.kept if each.kind is EvidenceKind.STORAGE_REVOKED]


class Ground:
    """A policy, a power switch, and a volume service."""

    def __init__(self, policy: str, power: Power, *, others: bool = False, **disks: bool) -> None:
        self.power, self.notes = power, PolicyNotebook(policy, others=others)
        storage = Disks(self.notes, **disks) if disks else None
        self.activities = FencingActivities(self.notes, power, policy=self.notes.policy, storage=storage)

    def fence(self, request: FenceRequest = REQUEST) -> list[str]:
        """The kinds that proved it."""
        return self._kinds(ActivityEnvironment().run(self.activities.fence_source, request))

    def fence_destination(self) -> list[str]:
        return self._kinds(ActivityEnvironment().run(self.activities.fence_destination, SPARING))

    def _kinds(self, proof: Evidence) -> list[str]:
        return [proof.kind.value, *(each.kind.value for each in proof.also)]


def test_disks_are_revoked_when_the_bmc_died_with_the_host():
    assert Ground("1 of power, storage", DeadBmc(), able=True).fence() == ["storage-revoked"]


def test_disks_are_left_alone_when_the_power_could_be_cut():
    ground = Ground("1 of power, storage", Power(), able=True)
    assert ground.fence() == ["power-off"]
    assert len(ground.notes.kept) == 1


def test_power_is_left_alone_when_the_policy_does_not_name_it():
    ground = Ground("1 of storage, operator", Power(), able=True)
    assert ground.fence() == ["storage-revoked"]
    assert ground.power.on


def test_two_kinds_are_gathered_where_two_are_asked_for():
    assert Ground("2 of power, storage, operator", Power(), able=True).fence() == ["power-off", "storage-revoked"]
    assert Ground("2 of power, storage, operator", Power(), able=False).fence(WORD) == ["power-off", "operator"]


def test_fence_that_lacks_a_persons_word_says_so_and_is_not_tried_again():
    ground = Ground("2 of power, operator", Power())
    with pytest.raises(EvidenceMissingError, match="2 of power, operator is asked for") as caught:
        ground.fence()
    assert not caught.value.retryable and "--confirmed-off" in caught.value.remedy
    assert not ground.power.on and [each.kind for each in ground.notes.kept] == [EvidenceKind.POWER_OFF]


def test_fence_goes_on_from_what_it_had_when_the_word_comes():
    ground = Ground("2 of power, operator", Power())
    with pytest.raises(EvidenceMissingError):
        ground.fence()
    ground.notes.record_evidence(KNOWN)
    assert ground.fence() == ["power-off", "operator"]


def test_operators_word_alone_is_not_enough_where_the_policy_does_not_name_it():
    with pytest.raises(BmcUnreachableError, match=UNREADABLE):
        Ground("1 of power", DeadBmc()).fence(WORD)


def test_fence_names_everything_that_failed_and_is_tried_again_if_any_of_it_may_succeed():
    with pytest.raises(FenceFailedError, match=f"{UNREADABLE}; a disk is still exported") as caught:
        Ground("1 of power, storage", DeadBmc(), fails=True).fence()
    assert caught.value.retryable


def test_destination_loses_this_guests_disks_and_keeps_its_other_guests():
    ground = Ground("1 of power, storage", Power(), others=True, able=True)
    assert ground.fence_destination() == ["storage-revoked"]
    assert ground.power.on and not ground.notes.opened


def test_destination_whose_power_cannot_be_read_keeps_its_place_in_the_store():
    ground = Ground("1 of power", DeadBmc())
    with pytest.raises(BmcUnreachableError):
        ground.fence_destination()
    assert not ground.notes.opened


class Unreadable(Power):
    def is_off(self, host: str) -> bool:
        raise FenceFailedError(UNREADABLE)


@pytest.mark.parametrize(
    ("power", "policy", "reading"),
    [
        (Power(on=False), "1 of power", PowerReading.OFF),
        (Power(), "1 of power", PowerReading.ON),
        (Power(on=False, able=False), "1 of power", PowerReading.UNKNOWN),
        (Power(on=False), "1 of operator", PowerReading.UNKNOWN),
        (Unreadable(on=False), "1 of power", PowerReading.UNKNOWN),
    ],
    ids=["off", "on", "nothing switches it", "power does not count", "unreadable"],
)
def test_reading_the_power_proves_nothing_and_on_is_recorded(power: Power, policy: str, reading: PowerReading):
    notes = Notebook()
    activities = FencingActivities(notes, power, policy=FencingPolicy.parse(policy))
    asked = PowerQuery(host="cmp-1", incarnation=None)
    assert ActivityEnvironment().run(activities.read_power, asked) is reading
    assert notes.known is None and not notes.opened
    assert notes.readings == ([PowerReading.ON] if reading is PowerReading.ON else [])
