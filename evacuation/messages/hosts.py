"""Hosts that report, return, are asked, and are accepted again."""

from collections.abc import Collection
from datetime import datetime

from evacuation.capabilities import HostCapabilities, SeenDomain, SharedDirectory
from evacuation.identity import Identity
from evacuation.ledger import LedgerMark, StartMark
from evacuation.messages.common import Answered, HostRef, Tuning
from evacuation.messages.guests import GuestKey, GuestState
from evacuation.messages.probing import ProbeRequest
from evacuation.messages.steps import StoredDefinition
from evacuation.model import Frozen, PowerState


class AcceptIdentity(Frozen):
    """Another board takes the name of a host. `known` is who it was, `incarnation` its last boot, as a person has seen
    them in the store; `found` who answers in its place, in which boot, None: whoever comes next. `statement`: their
    word that nothing of the one before runs any more."""

    host: str
    known: Identity | None
    incarnation: str | None
    found: Identity | None
    found_incarnation: str | None = None
    statement: str
    who: str


class AcceptHostInput(Frozen):
    """`host accept` sends it, with a person's word in the request."""

    request: AcceptIdentity
    tuning: Tuning = Tuning()


class HostReport(Answered):
    """A host's own worker says who it is and what runs there. `domains`: in place of `guests`, if that was asked for
    and its hypervisor can tell."""

    host: str
    hypervisor_uuid: str
    machine_id: str
    incarnation: str
    guests: tuple[GuestState, ...]
    domains: tuple[SeenDomain, ...] | None = None
    shared: tuple[SharedDirectory, ...] = ()
    memory: str | None = None
    """Of what the host remembers (tombstones, locks); another one: that was lost. None: an older worker."""

    @property
    def identity(self) -> Identity:
        return Identity(hypervisor_uuid=self.hypervisor_uuid, machine_id=self.machine_id)

    def about(self, instances: Collection[str]) -> "HostReport":
        """What it says of these, and of no others."""
        return self.model_copy(update={"guests": tuple(each for each in self.guests if each.instance_id in instances)})


class ReturnHostInput(Frozen):
    """A host's own worker sends it when it starts, and when somebody may have taken the host for off."""

    report: HostReport
    tuning: Tuning = Tuning()


class AskHostsInput(Frozen):
    """`guests`: what runs there is asked for too. `within`: seconds that one answer may take; None: as a probe."""

    hosts: tuple[ProbeRequest, ...]
    guests: bool = False
    within: float | None = None
    tuning: Tuning = Tuning()


class HostAnswer(Answered):
    """`why_not` is empty for a host that has answered; `silent`: it said nothing, not even an error. `incarnation`: of
    the boot that has answered, be it with an error. `report`, if its guests were asked for."""

    host: str
    incarnation: str | None = None
    report: HostReport | None = None
    why_not: str = ""
    silent: bool = False


class HostAnswers(Frozen):
    """One for each host that was asked, in the same order."""

    answers: tuple[HostAnswer, ...]


class Reconcile(Frozen):
    """All that was seen of the world beside the store. `unasked`: hosts that did not answer; `starts`: what the latest
    evacuation of an instance has written down; `running`: instances whose evacuation's workflow runs."""

    reports: tuple[HostReport, ...]
    unasked: tuple[str, ...] = ()
    starts: dict[str, StartMark] = {}
    running: frozenset[str] = frozenset()
    who: str = "operator"


class FoundElsewhere(Frozen):
    """An instance whose guest runs where the store did not know of it."""

    instance: str
    source: str | None
    destination: str
    epoch: int


class Reconciled(Frozen):
    """What a reconciliation did: `raised` are instances whose epochs the store had not given. `conflicts` are left to a
    person, and so are `unknown` guests, whose instance the store does not have. `awaited`: instances that were about to
    be started where nobody could look; nothing of them starts elsewhere before that place is proven empty."""

    position: int
    moved: tuple[FoundElsewhere, ...] = ()
    raised: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


class ReturnPlan(Frozen):
    """What a host that comes back has to do before it serves.

    `held_by`: names of instances whose evacuation still relies on this host's fence (`held_ids`: their ids); it waits
    for them, and for the end of a cut of its power (`being_cut`), before which there is nothing to do.
    `bury`: epochs, and all below, that must not start there: the host has lost what it remembered of them in this boot.
    It comes before everything else.
    `destroy`: guests that were evacuated from here, or whose disks were taken away (those are in `start`, too); by the
    old residence's epoch. `quarantine`: their evacuation is in flight; paused, never destroyed. `start`: they belong
    here and do not run."""

    held_by: tuple[str, ...]
    held_ids: tuple[str, ...] = ()
    being_cut: bool = False
    bury: tuple[GuestKey, ...] = ()
    destroy: tuple[GuestKey, ...]
    quarantine: tuple[GuestKey, ...]
    start: tuple[GuestKey, ...]
    ledger: LedgerMark | None = None


class HostGuest(Frozen):
    """Names one instance on one host and incarnation, for the steps of a return and of a deletion."""

    host: str
    incarnation: str
    instance_id: str
    epoch: int


class RecordStarted(Frozen):
    """A guest was brought up by a return; `power_state` is what its host says."""

    guest: HostGuest
    power_state: PowerState


class ReturnedHost(HostRef):
    """`memory`: what the host remembers from now on; see `HostReport`."""

    memory: str | None = None


class DefinedGuest(Frozen):
    """A guest as its host has it defined."""

    instance_id: str
    stored: StoredDefinition


class HypervisorReport(Frozen):
    """What a host's own worker reports while the host lives: what it can run, and how its guests are defined.
    `guests` may be some of them only. Of two reports of one boot the older one counts for nothing, however late it
    arrives."""

    host: str
    incarnation: str
    at: datetime
    """By the host's clock, which somebody may set."""
    uptime: float | None = None
    """Seconds, by a clock that nobody sets: what orders the reports of a boot."""
    capabilities: HostCapabilities
    guests: tuple[DefinedGuest, ...] = ()


class ReportHostInput(Frozen):
    """A host's own worker sends it while the host lives. The report may be a part of all that there is."""

    report: HypervisorReport
    tuning: Tuning = Tuning()
