"""The fencing policy: its words, and what is enough."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evacuation.fencing import KINDS, FencingPolicy, covers, disks_in, disks_scope, only
from evacuation.model import Evidence, EvidenceKind


def evidence(kind: EvidenceKind) -> Evidence:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Evidence(kind=kind, host="cmp-1", incarnation="boot-1", who="test", reason=kind.value, at=at)


POWER, STORAGE, OPERATOR = (evidence(kind) for kind in KINDS.values())


@pytest.mark.parametrize("text", ["1 of power, storage, operator", "2 of power, operator", "1 of storage"])
def test_policy_says_itself_as_it_was_written(text: str):
    assert str(FencingPolicy.parse(text)) == text


def test_default_is_any_one_kind():
    assert FencingPolicy.parse("1 of power, storage, operator") == FencingPolicy()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("power", "write it as: 1 of power"),
        ("0 of power", "0 of 1 kinds"),
        ("3 of power, operator", "3 of 2 kinds"),
        ("1 of power, power", "named twice"),
        ("1 of power, luck", "'luck' is no kind of evidence"),
        ("1 of power,", "'' is no kind"),
        ("one of power", "write it as"),
    ],
)
def test_policy_that_cannot_be_met_or_read_is_refused(text: str, why: str):
    with pytest.raises(ValueError, match=why):
        FencingPolicy.parse(text)


def test_one_kind_is_enough_where_one_is_asked_for():
    assert FencingPolicy().proof([OPERATOR]) == OPERATOR
    assert FencingPolicy().proof([]) is None


def test_all_that_counted_is_in_the_proof():
    proof = FencingPolicy.parse("2 of power, storage, operator").proof([OPERATOR, POWER])
    assert proof is not None and (proof.kind, proof.also) == (EvidenceKind.POWER_OFF, (OPERATOR,))


def test_two_of_a_kind_are_one():
    assert FencingPolicy.parse("2 of power, operator").proof([OPERATOR, OPERATOR]) is None


def test_kind_that_the_policy_does_not_name_counts_for_nothing():
    policy = FencingPolicy.parse("1 of power, storage")
    assert policy.proof([OPERATOR]) is None
    assert not policy.counts(EvidenceKind.OPERATOR)


@pytest.mark.parametrize("kind", [EvidenceKind.NEW_INCARNATION, EvidenceKind.GUEST_GONE])
def test_fact_needs_no_second_one(kind: EvidenceKind):
    assert FencingPolicy.parse("2 of power, operator").proof([evidence(kind)]) == evidence(kind)


@given(st.integers(1, 3), st.lists(st.sampled_from([POWER, STORAGE, OPERATOR]), max_size=6))
def test_proof_has_exactly_what_was_found_and_never_too_little(required: int, found: list[Evidence]):
    proof = FencingPolicy(required=required).proof(found)
    kinds = {each.kind for each in found}
    if len(kinds) < required:
        assert proof is None
    else:
        assert proof is not None and {proof.kind, *(each.kind for each in proof.also)} == kinds


def test_scope_is_read_as_it_was_written():
    disks = {("v-2", "a-2"), ("v-1", "a-1")}
    assert disks_scope(disks) == "disks v-1=a-1 v-2=a-2"
    assert disks_in(disks_scope(disks)) == disks
    assert disks_in("host") == disks_in("guest i-1") == frozenset()


def test_scope_covers_a_guest_only_with_every_one_of_its_disks():
    scope = disks_scope([("v-1", "a-1"), ("v-2", "a-2")])
    assert covers(scope, ["v-1"]) and covers(scope, ["v-1", "v-2"])
    assert not covers(scope, ["v-1", "v-3"])
    assert not covers(scope, [])
    assert not covers("host", ["v-1"])


def test_part_of_a_scope_is_about_one_guest():
    assert only(disks_scope([("v-1", "a-1"), ("v-2", "a-2")]), ["v-2"]) == "disks v-2=a-2"
