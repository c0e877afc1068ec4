"""The fencing policy: which kinds of evidence prove a place empty, and how many of them it takes."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Self

from evacuation.model import Evidence, EvidenceKind, Frozen

KINDS = {
    "power": EvidenceKind.POWER_OFF,
    "storage": EvidenceKind.STORAGE_REVOKED,
    "operator": EvidenceKind.OPERATOR,
}
"""The words of a policy. What else is evidence needs no second one: a new boot and a guest's own host are facts."""

FACTS = frozenset({EvidenceKind.NEW_INCARNATION, EvidenceKind.GUEST_GONE})
VOIDABLE = (EvidenceKind.POWER_OFF, EvidenceKind.OPERATOR)
"""What is said of a whole host: that boot of it, seen alive, shows that it is wrong."""
_FORM = re.compile(r"\s*(\d+)\s+of\s+(.+?)\s*")
_SCOPE = "disks"


class FencingPolicy(Frozen):
    """`required` different kinds out of `kinds`. The order is the one in which they are tried."""

    required: int = 1
    kinds: tuple[EvidenceKind, ...] = tuple(KINDS.values())
    reading_age: timedelta = timedelta(seconds=60)
    """For how long what a host's power read is good, without it being read again."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `1 of power, storage, operator`. Raises ValueError, in words for a person."""
        match = _FORM.fullmatch(text.lower())
        if match is None:
            raise ValueError("write it as: 1 of power, storage, operator")
        words = [word.strip() for word in match[2].split(",")]
        unknown = [word for word in words if word not in KINDS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no kind of evidence; there are {', '.join(KINDS)}")
        if len(set(words)) < len(words):
            raise ValueError("a kind is named twice")
        if not 1 <= int(match[1]) <= len(words):
            raise ValueError(f"{match[1]} of {len(words)} kinds cannot be had")
        return cls(required=int(match[1]), kinds=tuple(KINDS[word] for word in words))

    def __str__(self) -> str:
        words = {kind: word for word, kind in KINDS.items()}
        return f"{self.required} of {', '.join(words[kind] for kind in self.kinds)}"

    def counts(self, kind: EvidenceKind) -> bool:
        return kind in self.kinds

    def is_recent(self, read_at: datetime, now: datetime) -> bool:
        """Clocks differ a little: a reading may be of a moment from now."""
        return abs(now - read_at) <= self.reading_age

    def proof(self, evidence: Iterable[Evidence]) -> Evidence | None:
        """What proves the place empty, with all that counted in `also`; None while it is not enough."""
        found = list(evidence)
        fact = next((each for each in found if each.kind in FACTS), None)
        if fact is not None:
            return fact
        first_of: dict[EvidenceKind, Evidence] = {}
        for each in found:
            first_of.setdefault(each.kind, each)
        counted = [first_of[kind] for kind in self.kinds if kind in first_of]
        if len(counted) < self.required:
            return None
        return counted[0].model_copy(update={"also": tuple(counted[1:])}) if len(counted) > 1 else counted[0]


def is_voidable(evidence: Evidence) -> bool:
    """Whether the proof rests on something that the host, seen alive, contradicts."""
    return any(each.kind in VOIDABLE for each in (evidence, *evidence.also))


def disks_scope(disks: Iterable[tuple[str, str]]) -> str:
    """The scope of storage evidence: every (volume, attachment) that was taken away, for good."""
    return " ".join([_SCOPE, *sorted(f"{volume}={attachment}" for volume, attachment in set(disks))])


def disks_in(scope: str) -> frozenset[tuple[str, str]]:
    """What `disks_scope` made a scope of; nothing of any other scope."""
    word, *pairs = scope.split(" ")
    split = (pair.partition("=") for pair in pairs if word == _SCOPE)
    return frozenset((volume, attachment) for volume, _, attachment in split)


def covers(scope: str, volumes: Iterable[str]) -> bool:
    """Whether every one of the guest's volumes was taken away. A guest without any is not covered."""
    wanted, listed = frozenset(volumes), {volume for volume, _ in disks_in(scope)}
    return bool(wanted) and wanted <= listed


def only(scope: str, volumes: Iterable[str]) -> str:
    """The part of a scope that is about these volumes."""
    wanted = frozenset(volumes)
    return disks_scope(pair for pair in disks_in(scope) if pair[0] in wanted)


def policy_of(context: Mapping[object, object]) -> FencingPolicy:
    """The one in a context, or the default."""
    found = context.get(FencingPolicy)
    return found if isinstance(found, FencingPolicy) else FencingPolicy()
