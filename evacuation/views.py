"""What the read commands print: field names are the CLI's JSON interface (an interface other programs use)."""

from datetime import datetime

from evacuation.identity import Identity, RefusedIdentity, ReplacedIdentity
from evacuation.ledger import Witness
from evacuation.messages import EvacuationOutcome, Fault
from evacuation.model import Frozen
from evacuation.retries import Retrying
from evacuation.sightings import Sighting


class HostView(Frozen):
    name: str
    state: str
    enabled: bool
    fenced: bool
    vcpus: int
    vcpus_used: int
    memory_mb: int
    memory_mb_used: int
    disk_gb: int
    disk_gb_used: int
    availability_zone: str
    traits: tuple[str, ...]
    incarnation: str | None
    hypervisor_uuid: str | None
    reported_at: datetime | None = None
    """Of the last report that changed what is known of its capabilities."""
    machine_id: str | None = None
    refused: RefusedIdentity | None = None
    """Who wanted to be this host, and is another board, or a system that was reinstalled."""
    replaced: tuple[ReplacedIdentity, ...] = ()
    """Who it was before, oldest first."""
    last_seen: datetime | None = None
    """When its worker asked for work the last time, as far as Temporal remembers; asked of hosts that are up."""
    alarm: str | None = None
    """Why nothing proves it off by its power any more: what was cut was another machine, as it seems."""
    silent: bool | None = None
    """It was not seen for so long that nobody knows what runs there. None: it is down, or nobody could be asked."""

    @property
    def identity(self) -> Identity | None:
        """None: whoever registers first is this host."""
        if self.hypervisor_uuid is None or self.machine_id is None:
            return None
        return Identity(hypervisor_uuid=self.hypervisor_uuid, machine_id=self.machine_id)

    @property
    def boots_before(self) -> frozenset[str]:
        """The last boots of those that it was before."""
        return frozenset(each.incarnation for each in self.replaced)

    @property
    def heard_of_before(self) -> bool:
        """Of one that it was before, since it was said to be gone."""
        return any(each.seen_at is not None for each in self.replaced)


class ShownHost(HostView):
    """As `host show` prints it. `notes`: what is to be known of it by its own report, a line each."""

    notes: tuple[str, ...] = ()


class LedgerView(Frozen):
    """`doubt`: who has seen another ledger, or a later state of this one; nothing is started until it is reconciled."""

    ledger: str
    position: int
    owner: str | None
    owned_at: datetime | None
    doubt: Witness | None
    hosts_not_asked: tuple[str, ...]
    hosts: int
    instances: int
    open_evacuations: int


class InstanceView(Frozen):
    id: str
    name: str
    host: str | None
    vm_state: str
    task_state: str | None
    power_state: str
    fault: Fault | None
    priority: int
    project: str
    evacuate: bool
    server_group: str | None
    epoch: int
    host_last_seen: datetime | None = None
    host_silent: bool | None = None
    """Of the host that it is on, as `last_seen` and `silent` there: `power_state` is what was recorded last."""
    seen_elsewhere: tuple[Sighting, ...] = ()
    """Where its guest was seen, and no residence is: nothing of it starts until that is settled."""


class ShownInstance(InstanceView):
    """As `instance show` prints it. `retrying`: what fails again and again of an evacuation, or a deletion, of it."""

    retrying: tuple[Retrying, ...] = ()


class MigrationView(Frozen):
    id: str
    instance_id: str
    type: str
    status: str
    source: str
    destination: str | None
    created_at: datetime
    updated_at: datetime


class EventView(Frozen):
    name: str
    result: str
    started_at: datetime
    finished_at: datetime
    host: str | None
    details: str
    attempt: int


class ActionView(Frozen):
    action: str
    request_id: str
    evacuation_id: str
    events: tuple[EventView, ...]


class AllocationView(Frozen):
    consumer_id: str
    host: str
    vcpus: int
    memory_mb: int
    disk_gb: int


class PortView(Frozen):
    id: str
    instance_id: str
    host: str | None
    mac: str
    ip: str | None
    status: str


class AttachmentView(Frozen):
    id: str
    instance_id: str
    host: str | None
    status: str


class VolumeView(Frozen):
    id: str
    name: str
    status: str
    attachments: tuple[AttachmentView, ...]


class ResidenceView(Frozen):
    """Where a guest may exist. `proof` None: nothing proves it empty, so the guest may be there."""

    instance_id: str
    instance: str
    host: str
    incarnation: str | None
    epoch: int
    proof: str | None
    started_at: datetime | None = None
    """When its guest was known to run."""
    moved_from: tuple[str, ...] = ()
    """Hosts that its guest was on before, by a live migration, each with what proved it empty."""


class EvacuationView(Frozen):
    id: str
    instance_id: str
    instance: str
    source: str
    destination: str | None
    attempt: int
    phase: str
    open: bool
    holds_source: bool = False
    """While it does, the source serves nothing when it comes back."""
    outcome: EvacuationOutcome | None
