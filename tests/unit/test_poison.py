"""When the starts of an instance have cost enough, by what is known of each host that was lost."""

from datetime import UTC, datetime

import pytest

from evacuation.model import Evidence, EvidenceKind
from evacuation.poison import Loss, Pardon, loss_of, poison_in

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARDON = Pardon(who="ann", said="its signal was mended", at=NOW)


def evidence(kind: EvidenceKind, host: str = "cmp-2") -> Evidence:
    return Evidence(kind=kind, host=host, incarnation="boot-1", who="bmc", reason="read back: off", at=NOW)


def lost(host: str = "cmp-2", *, by_itself: bool = False, pardon: Pardon | None = None) -> Loss:
    return Loss(
        host=host,
        incarnation="boot-1",
        by_itself=by_itself,
        cut=not by_itself,
        how="power cut, read back: off",
        at=NOW,
        pardon=pardon,
    )


def test_host_whose_own_worker_answered_is_not_lost() -> None:
    assert loss_of(evidence(EvidenceKind.GUEST_GONE), cut=False) is None


@pytest.mark.parametrize(
    ("kind", "cut", "by_itself"),
    [
        (EvidenceKind.POWER_OFF, False, True),
        (EvidenceKind.POWER_OFF, True, False),
        (EvidenceKind.NEW_INCARNATION, False, True),
        (EvidenceKind.NEW_INCARNATION, True, False),
        (EvidenceKind.OPERATOR, False, False),
        (EvidenceKind.STORAGE_REVOKED, False, False),
    ],
)
def test_machine_went_down_by_itself_only_where_something_shows_it(
    kind: EvidenceKind, cut: bool, by_itself: bool
) -> None:
    loss = loss_of(evidence(kind), cut=cut)
    assert loss is not None
    assert (loss.host, loss.by_itself, loss.cut) == ("cmp-2", by_itself, cut)


def test_one_worker_is_enough_and_is_named_with_what_to_do() -> None:
    error = poison_in("web-01", [lost()])
    assert error is not None
    assert error.message == (
        "the start of web-01 cost cmp-2 its worker (power cut, read back: off): it is sent to no other host"
    )
    assert "evacuate instance retry web-01 --confirmed-harmless" in error.remedy
    assert "\n" not in error.line


def test_one_machine_may_go_down_by_chance_and_a_second_one_not() -> None:
    first, second = lost("cmp-2", by_itself=True), lost("cmp-3", by_itself=True)
    assert poison_in("web-01", [first]) is None
    error = poison_in("web-01", [first, second])
    assert error is not None
    assert error.message.startswith("cmp-2, cmp-3 went down, one after the other, while web-01 started there")


def test_what_is_pardoned_is_not_counted_and_what_comes_after_it_is() -> None:
    pardoned = lost("cmp-2", pardon=PARDON)
    assert poison_in("web-01", []) is None
    assert poison_in("web-01", [pardoned]) is None
    assert poison_in("web-01", [lost("cmp-2", by_itself=True, pardon=PARDON), lost("cmp-3", by_itself=True)]) is None
    assert "cost cmp-3" in str(poison_in("web-01", [pardoned, lost("cmp-3")]))
