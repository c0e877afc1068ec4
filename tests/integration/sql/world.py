"""A small fleet in a store, and the calls of an evacuation in their order."""

from datetime import UTC, datetime

from sqlmodel import Session

from evacuation import messages as m
from evacuation.fleet import Fleet
from evacuation.model import Evidence, EvidenceKind, MigrationStatus, PowerState, VmState
from evacuation.views import HostView, InstanceView
from services.sql import SqlServices
from services.sql.hosts.reports import keep
from services.sql.tables import EvacuationRow, InstanceRow

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FLAVOR = {"vcpus": 1, "memory_mb": 512, "disk_gb": 1}
HOSTS = ("cmp-1", "cmp-2", "cmp-3")


def host(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "vcpus": 8, "memory_mb": 8192, "disk_gb": 100} | more


def instance(name: str, on: str = "cmp-1", **more: object) -> dict[str, object]:
    return {"name": name, "host": on, "flavor": FLAVOR} | more


def small_fleet() -> Fleet:
    return Fleet.model_validate(
        {
            "hosts": [host(name) for name in HOSTS],
            "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
            "volumes": [{"name": "data-1", "size_gb": 10}, {"name": "data-2", "size_gb": 10}],
            "instances": [
                instance("web-01", ports=[{"network": "lan"}], volumes=["data-1", "data-2"]),
                instance("web-02"),
                instance("db-01", vm_state="stopped"),
                instance("web-03", "cmp-2"),
            ],
        }
    )


def event(name: str, attempt: int = 0) -> m.StepEvent:
    return m.StepEvent(name=name, attempt=attempt, host=None, result="success", started_at=NOW, finished_at=NOW)


def evidence(host: str = "cmp-1", incarnation: str | None = "boot-1", kind: str = "power-off") -> Evidence:
    return Evidence(
        kind=EvidenceKind(kind),
        host=host,
        incarnation=incarnation,
        who="bmc",
        reason="read back off",
        at=datetime.now(UTC),
    )


class World:
    def __init__(self, services: SqlServices, fleet: Fleet | None = None) -> None:
        self.services = services
        fleet = fleet or small_fleet()
        services.fleet.load(fleet)
        for each in fleet.hosts:
            self.bring_up(each.name)

    @classmethod
    def of(cls, services: SqlServices) -> "World":
        """Whose fleet is there already."""
        world = cls.__new__(cls)
        world.services = services
        return world

    def id_of(self, name: str) -> str:
        return self.services.views.resolve_instance(name)

    def instance(self, name: str = "web-01") -> InstanceView:
        return next(each for each in self.services.views.instances() if each.name == name)

    def host(self, name: str) -> HostView:
        return next(each for each in self.services.views.hosts() if each.name == name)

    def report(self, name: str, boot: str = "boot-1", guests: tuple[m.GuestState, ...] = ()) -> m.HostReport:
        return m.HostReport(
            host=name, hypervisor_uuid=f"uuid-{name}", machine_id="machine", incarnation=boot, guests=guests
        )

    def bring_up(self, name: str, boot: str = "boot-1") -> m.ReturnPlan:
        plan = self.services.hosts.register(self.report(name, boot))
        for key in plan.destroy:
            gone = m.HostGuest(host=name, incarnation=boot, instance_id=key.instance_id, epoch=key.epoch)
            self.services.hosts.record_destroyed(gone)
        for key in plan.start:
            self.start(key, name, boot)
        self.services.hosts.complete_return(m.ReturnedHost(host=name, incarnation=boot))
        return plan

    def start(self, key: m.GuestKey, host: str, boot: str) -> None:
        guest = m.HostGuest(host=host, incarnation=boot, instance_id=key.instance_id, epoch=key.epoch)
        spec = self.services.hosts.authorize_start(guest)
        started = guest.model_copy(update={"epoch": spec.epoch})
        self.services.hosts.record_started(m.RecordStarted(guest=started, power_state=spec.power_state))

    def fence(self, name: str = "cmp-1", boot: str = "boot-1") -> Evidence:
        return self.services.evidence.record_evidence(evidence(name, boot))

    def define(self, *names: str) -> None:
        """They have a definition, as if they had been adopted."""
        stored, ids = m.StoredDefinition(definition="<domain/>"), [self.id_of(name) for name in names]

        def keep_all(session: Session) -> None:
            for each in ids:
                keep(session.get_one(InstanceRow, each), stored)

        self.services.store._database.write(keep_all)

    def evacuation(self, name: str = "web-01", evacuation_id: str = "ev-1", owner: str = "run-1") -> "Evacuation":
        return Evacuation(self, name, evacuation_id, owner)

    def allocations(self, name: str = "web-01") -> set[tuple[str, str]]:
        """Who holds what of this instance: ("instance" or "migration", host)."""
        id = self.id_of(name)
        migrations = {each.id for each in self.services.views.migrations() if each.instance_id == id}
        named = {id: "instance"} | dict.fromkeys(migrations, "migration")
        rows = self.services.views.allocations()
        return {(named[row.consumer_id], row.host) for row in rows if row.consumer_id in named}

    def snapshot(self) -> tuple[object, ...]:
        """Everything that a reader can see."""
        views = self.services.views
        lists = (views.hosts, views.instances, views.migrations, views.allocations, views.ports, views.volumes)
        actions = tuple(views.actions(each.id) for each in views.instances())
        return (*(each() for each in lists), views.residences(), views.evacuations(), actions)


class Evacuation:
    """Each method is one call, as a workflow makes it."""

    def __init__(self, world: World, name: str, evacuation_id: str, owner: str) -> None:
        self.world, self.services, self.name = world, world.services, name
        self.ref = m.AttemptRef(evacuation_id=evacuation_id, owner=owner, instance_id=world.id_of(name))
        self.facts = self.services.store.check_facts(self.ref.instance_id)
        self.proof = self.facts.evidence

    def noted(self) -> Evidence | None:
        """By what evidence things are taken from the instance."""

        def read(session: Session) -> Evidence | None:
            return session.get_one(EvacuationRow, self.ref.evacuation_id).evidence

        return self.services.store._database.read(read)

    def at(self, attempt: int) -> m.AttemptRef:
        return self.ref.model_copy(update={"attempt": attempt})

    def begin(self, adopts: m.OpenEvacuation | None = None) -> m.Begun:
        message = m.Begin(
            ref=self.ref,
            instance=self.facts.instance,
            source_incarnation=self.facts.source_incarnation,
            adopts=adopts,
            request_id="request-1",
            evidence=self.proof,
            events=(event("check_request"),),
        )
        return self.services.store.begin(message)

    def claim(self, attempt: int = 1, target: str | None = "cmp-2", wait: bool = False) -> m.Destination:
        return self.services.capacity.claim(m.ClaimCapacity(ref=self.at(attempt), target=target, wait=wait))

    def prepare(self, attempt: int = 1) -> None:
        connector = m.Connector(host="cmp-2", incarnation="boot-1")
        self.services.store.record_preparation(m.RecordPreparation(ref=self.at(attempt), connector=connector))

    def bind(self, attempt: int = 1, host: str = "cmp-2") -> tuple[m.Nic, ...]:
        return self.services.network.bind(self.at(attempt), host)

    def detach(self, attempt: int = 1) -> None:
        for device in self.services.store.block_devices(self.at(attempt)):
            assert device.attachment_id is not None
            old = self.services.volumes.attachment(device.attachment_id)
            if old is not None and old.connector is not None:
                self.services.store.save_source_connector(self.at(attempt), device.volume_id, old.connector)
            self.replace(device, attempt, f"{attempt}/destination/{device.volume_id}", undo=False)

    def replace(self, device: m.BlockDevice, attempt: int, name: str, *, undo: bool) -> None:
        ref, volumes = self.at(attempt), self.services.volumes
        new = volumes.reserve(ref, device.volume_id, name, undo=undo)
        if device.attachment_id and device.attachment_id != new:
            volumes.delete(ref, device.attachment_id, undo=undo)
        self.services.store.save_attachment(ref, device.volume_id, new, undo=undo)

    def attach(self, attempt: int = 1, host: str = "cmp-2") -> None:
        self.services.store.enter_block_device_mapping(self.at(attempt))
        for device in self.services.store.block_devices(self.at(attempt)):
            assert device.attachment_id is not None
            connector = m.Connector(host=host, incarnation="boot-1")
            self.services.volumes.complete(self.at(attempt), device.attachment_id, connector)

    def authorize(self, attempt: int = 1, host: str = "cmp-2", boot: str = "boot-1") -> m.Authorized:
        message = m.AuthorizeSpawn(ref=self.at(attempt), host=host, incarnation=boot, events=(event("claim", attempt),))
        return self.services.store.authorize_spawn(message)

    def start(self, attempt: int = 1) -> None:
        self.services.store.record_start(self.at(attempt))

    def finish(self, attempt: int = 1, host: str = "cmp-2", epoch: int = 2) -> None:
        self.start(attempt)
        self.services.store.finish(
            m.FinishEvacuation(
                ref=self.at(attempt),
                host=host,
                epoch=epoch,
                vm_state=VmState.ACTIVE,
                power_state=PowerState.RUNNING,
                outcome=self.outcome("recovered"),
                events=(event("finish_evacuation", attempt),),
            )
        )

    def guest_gone(self, attempt: int = 1, host: str = "cmp-2") -> None:
        proof = evidence(host, "boot-1", "guest-gone")
        self.services.store.record_guest_gone(m.RecordGuestGone(ref=self.at(attempt), evidence=proof))

    def tear_down(self, attempt: int = 1) -> None:
        for device in self.services.store.block_devices(self.at(attempt)):
            self.replace(device, attempt, f"{attempt}/undo/{device.volume_id}", undo=True)
        self.services.network.unbind(self.at(attempt))
        self.services.capacity.release(self.at(attempt))

    def abandon(self, attempt: int = 1, error: bool = False, deleted: bool = False) -> None:
        fault = m.Fault(message="no host fits", error_type="NoValidHostError", at=NOW) if error else None
        self.services.store.abandon(
            m.AbandonEvacuation(
                ref=self.at(attempt),
                migration_status=MigrationStatus.ERROR if error else MigrationStatus.FAILED,
                vm_state=VmState.ERROR if error else None,
                fault=fault,
                outcome=self.outcome("not_recovered"),
                deleted=deleted,
            )
        )

    def to_authorized(self, attempt: int = 1, host: str = "cmp-2") -> m.Destination:
        """Every forward step up to the point of no return."""
        to = self.claim(attempt, host)
        self.prepare(attempt)
        self.bind(attempt, host)
        self.detach(attempt)
        self.attach(attempt, host)
        self.authorize(attempt, host)
        return to

    def recover(self, host: str = "cmp-2") -> None:
        self.world.fence()
        self.begin()
        self.finish(1, host, self.to_authorized(1, host).epoch)

    def outcome(self, outcome: str) -> m.EvacuationOutcome:
        return m.EvacuationOutcome.model_validate(
            {
                "evacuation_id": self.ref.evacuation_id,
                "instance_id": self.ref.instance_id,
                "outcome": outcome,
                "source": "cmp-1",
                "reason": None if outcome == "recovered" else "told so",
                "started_at": NOW,
            }
        )
