"""What the matrix consists of, as data: steps, the routes on which an evacuation comes to them, kinds of faults."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

At = Literal["before", "after"]
Route = Literal["forward", "undoing", "ending", "silent", "deleted"]

STEPS: dict[Route, tuple[str, ...]] = {
    "forward": (
        "check_request",
        "fence_source",
        "begin_evacuation",
        "claim_capacity",
        "record_preparation",
        "set_up_network",
        "fetch_block_devices",
        "detach_volumes",
        "set_up_block_devices",
        "authorize_spawn",
        "finish_evacuation",
        "prepare_destination",
        "connect_volumes",
        "spawn_guest",
    ),
    # The first spawn is refused: everything is undone, and the next host taken.
    "undoing": (
        "call_off_attempt",
        "record_guest_gone",
        "tear_down_block_devices",
        "tear_down_network",
        "release_capacity",
        "settle_guest",
        "disconnect_volumes",
    ),
    # Every spawn is refused.
    "ending": ("abandon_evacuation",),
    # The destination dies while it spawns.
    "silent": ("find_evidence", "fence_destination"),
    # The instance is deleted while it spawns.
    "deleted": ("destroy_guest",),
}

NOT_STRUCK = {
    "probe_host": "the source is dead, and nobody executes it there",
    "read_power": "a question beside the probe: an error and silence mean that the power does not read off",
    "record_answer": "only where the source answers: then the evacuation is refused before it begins",
}
"""Activities of an evacuation that have no cells, and why."""

HASTY = ("prepare_destination", "connect_volumes", "spawn_guest", "settle_guest", "disconnect_volumes", "destroy_guest")
"""Steps on a host: an execution there is not repeated, so that it must not be held for long. Who is struck there
is evacuated once the others of the batch are where they will be struck, or on their way there."""

PRELUDE: tuple[Route, ...] = ("silent", "deleted")
"""Routes that something from outside sends an evacuation along, once its spawn is held."""

BATCHES: tuple[tuple[tuple[Route, ...], tuple[At, ...]], ...] = (
    (("forward",), ("before",)),
    (("forward",), ("after",)),
    (("undoing", "deleted"), ("before", "after")),
    (("silent", "ending"), ("before", "after")),
)
"""Cells that share a stack, at most 20: those that come to their step in about the same time."""

UNDECIDED = ("check_request", "fence_source", "begin_evacuation")
"""A refusal there ends the evacuation, as it must: nothing of it has begun."""


@dataclass(frozen=True)
class Kind:
    """A fault. `rule`: what the worker does to itself, by the faults file. Without one the step is held there, and
    the fault is done from outside. `scope` process: one after the other, each a stack of its own."""

    name: str
    scope: Literal["instance", "process"]
    what: str
    rule: str | None = None
    at_destination: bool = False
    source: Literal["dies", "freezes", "answers", "hangs"] = "dies"
    """What becomes of it. Of one that freezes or answers an operator says that it is off, and nobody knows better; one
    that hangs is frozen, and its power can be read."""
    asks: str | None = None
    """The activity that the rule is about, on the source; None: the step itself."""
    alone: bool = False
    """Nobody is evacuated beside the cells: what happens to the source must not happen to others at another step."""
    first: bool = False
    """The fault comes before anybody is evacuated beside the cells: what they write must be newer than it."""
    points: frozenset[tuple[str, At]] | None = None
    """Where it can differ from other kinds; None: everywhere."""
    elsewhere: str = ""
    """Why it cannot differ at any other."""
    store: Literal["sqlite", "postgres"] | None = None

    @property
    def false_word(self) -> bool:
        """Nothing but the host itself could say that an operator erred."""
        return self.source in ("freezes", "answers")


def points(*steps: str, at: tuple[At, ...] = ("before", "after")) -> frozenset[tuple[str, At]]:
    return frozenset((step, each) for step in steps for each in at)


ON_A_HOST = points(*HASTY, "fence_source", "fence_destination")

OBJECTS: dict[str, str] = {
    "set_up_network": "port",
    "detach_volumes": "mapping",
    "set_up_block_devices": "volume",
    "finish_evacuation": "volume",
    "prepare_destination": "disk",
    "spawn_guest": "disk",
}
"""What is deleted before each of these steps, of the kind `object-gone`."""

KINDS: tuple[Kind, ...] = (
    Kind("fail", "instance", "the step fails once", rule="fail"),
    Kind("refuse", "instance", "the step refuses once, for good", rule="refuse"),
    Kind("hang", "instance", "the step hangs past its timeout, and goes on when all is over", rule="stall"),
    Kind("reply-lost", "instance", "the effect is there, the reply comes when nobody waits any more", rule="lose"),
    Kind("cancelled", "instance", "the workflow is cancelled"),
    Kind("terminated", "instance", "the workflow is terminated, and the evacuation requested again"),
    Kind("reset", "instance", "the workflow is reset to its first task"),
    Kind("control-killed", "process", "the control worker gets SIGKILL"),
    Kind("host-worker-killed", "process", "the destination's host worker gets SIGKILL", at_destination=True),
    Kind("destination-dead", "process", "the destination dies, for good", at_destination=True),
    Kind(
        "destination-boots-again",
        "process",
        "the destination dies, and is there again at once as another boot",
        at_destination=True,
        points=points("prepare_destination", "connect_volumes", "destroy_guest", "disconnect_volumes", at=("before",))
        | points("authorize_spawn", at=("after",))
        | points("spawn_guest", "settle_guest"),
        elsewhere="nothing is asked of the destination there, or what was asked is over with the boot",
    ),
    Kind("control-frozen", "process", "the control worker is stopped there, another takes over, it thaws later"),
    Kind("host-worker-frozen", "process", "the destination's worker is stopped, and thaws later", at_destination=True),
    Kind("source-returns", "process", "the source boots again, and is held until all is over"),
    Kind("source-thaws", "process", "the source was only frozen, an operator said off, it answers", source="freezes"),
    Kind("temporal-killed", "process", "Temporal's server gets SIGKILL, and starts again on its file"),
    Kind("postgres-killed", "process", "PostgreSQL gets SIGKILL, and starts again", store="postgres"),
    Kind("store-unreachable", "process", "PostgreSQL does not answer for 20 seconds", store="postgres"),
    Kind(
        "slow",
        "instance",
        "the step takes twice its limit, and heartbeats all the while",
        rule="slow",
        points=ON_A_HOST,
        elsewhere="nobody listens to the heartbeats of a step on the store: it is as one that hangs",
    ),
    Kind(
        "returns-before-begin",
        "process",
        "the source boots again and is in service before the evacuation begins",
        alone=True,
        points=points("check_request", at=("after",))
        | points("fence_source")
        | points("begin_evacuation", at=("before",)),
        elsewhere="before the check nothing is known that could be overtaken, and what has begun holds the source",
    ),
    Kind(
        "object-gone",
        "instance",
        "what the step works on is deleted under it, by somebody: a port, a mapping, a volume, a disk",
        points=points(*OBJECTS, at=("before",)),
        elsewhere="the step works on nothing that somebody else could delete, or has done so already",
        store="sqlite",
    ),
    Kind(
        "host-row-gone",
        "process",
        "the record of the destination is deleted, and put back at the end",
        points=points("record_preparation", "authorize_spawn", at=("before",)),
        elsewhere="the step does not ask for the destination's record",
        store="sqlite",
    ),
    Kind(
        "store-restored",
        "process",
        "the store is restored, when all is over, from a backup that was taken there",
        first=True,
        points=points("claim_capacity", "set_up_network", "finish_evacuation", at=("before",))
        | points("authorize_spawn", "spawn_guest", at=("after",)),
        elsewhere="a backup of there has the same rows as one of the next step, or of the one before, that has cells",
        store="sqlite",
    ),
    Kind(
        "second-control-plane",
        "process",
        "workers of another Temporal come to the store, and the same instances are asked for there",
        points=points("begin_evacuation", "claim_capacity", "authorize_spawn", "spawn_guest", at=("after",)),
        elsewhere="they are refused whatever the rows say: once for each phase of an attempt will do",
    ),
    Kind(
        "word-against-power",
        "process",
        "the source is only frozen, its power reads on, and an operator says off",
        source="hangs",
        alone=True,
        points=points("check_request") | points("fence_source", at=("before",)),
        elsewhere="its power has been cut, and read back, by then",
    ),
    Kind(
        "answers-with-error",
        "instance",
        "the source lives, its worker answers every question with an error, an operator says off",
        rule="refuse",
        source="answers",
        asks="probe_host",
        points=points("check_request"),
        elsewhere="the source is asked when the request is checked, and not again",
    ),
)


Key = tuple[str, str, str, bool]
"""A cell's kind, step, before or after, and whether disks are locked: there is one of each in the matrix."""


@dataclass(frozen=True)
class Cell:
    kind: Kind
    route: Route
    step: str
    at: At
    disk_lock: bool

    @property
    def key(self) -> Key:
        return self.kind.name, self.step, self.at, self.disk_lock

    @property
    def instance(self) -> str:
        """One of its own for each."""
        return f"{self.step.replace('_', '-')}-{self.at}"

    @property
    def impossible(self) -> str:
        """Why there can be no such case; empty if there can."""
        if self.kind.points is not None and (self.step, self.at) not in self.kind.points:
            return self.kind.elsewhere
        if self.kind.store == "sqlite" and not self.disk_lock:
            return "it is done to the embedded store, which lets anybody delete: PostgreSQL keeps what is referred to"
        if self.kind.name == "reply-lost" and self.at == "before":
            return "before the effect there is no reply to lose"
        if self.kind.at_destination and self.route == "silent":
            return "the destination is dead already"
        early = self.step in UNDECIDED or (self.step, self.at) == ("claim_capacity", "before")
        if self.kind.at_destination and early:
            return "no destination is chosen yet"
        if self.kind.false_word and (self.route != "forward" or self._relies_on_evidence):
            return "the start has relied on the false word already: only a disk lock stops it"
        return ""

    @property
    def _relies_on_evidence(self) -> bool:
        return self.step in ("spawn_guest", "finish_evacuation") or (self.step, self.at) == ("authorize_spawn", "after")


def cells(kind: Kind, disk_lock: bool) -> Iterator[tuple[Cell, ...]]:
    """In batches; the impossible ones are among them."""
    for routes, ats in BATCHES:
        yield tuple(Cell(kind, route, step, at, disk_lock) for route in routes for step in STEPS[route] for at in ats)
