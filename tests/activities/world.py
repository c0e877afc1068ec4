"""One evacuation as a list of steps on real parts: SQLite, guest processes, the power of hosts.

A step is an activity and the message that the workflow would send it. What steps answered is kept in a file, so that
another process can go on where one was killed."""

import asyncio
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.block_devices import BlockDeviceActivities
from activities.capacity import CapacityActivities
from activities.fencing import FencingActivities
from activities.guest import GuestActivities
from activities.hosts import HostActivities
from activities.instance_state import InstanceStateActivities
from activities.network import NetworkActivities
from activities.power import PowerReader
from activities.volumes import GuestVolumeActivities
from evacuation import messages as m
from evacuation.fleet import Fleet
from evacuation.identity import Identity
from evacuation.model import Evidence, EvidenceKind, MigrationStatus, PowerState, VmState
from services.fencing import ProcessFencing
from services.hypervisors.machine import machine_id
from services.hypervisors.process import ProcessHost, ProcessHypervisor, ProcessRoot
from services.sql import migrate, open_services

FLEET = Fleet.model_validate(
    {
        "hosts": [{"name": f"cmp-{n}", "vcpus": 4, "memory_mb": 4096, "disk_gb": 40} for n in (1, 2)],
        "networks": [{"name": "lan", "cidr": "10.0.0.0/24"}],
        "volumes": [{"name": "data-1", "size_gb": 10}],
        "instances": [
            {
                "name": "web-01",
                "host": "cmp-1",
                "flavor": {"vcpus": 1, "memory_mb": 512, "disk_gb": 5},
                "ports": [{"network": "lan"}],
                "volumes": ["data-1"],
            }
        ],
    }
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

LONG = timedelta(minutes=1)
"""Until when an execution is waited for."""


class World:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"sqlite:///{root / 'store.db'}"
        self.sql = open_services(self.url)
        self.hypervisors = {h.name: ProcessHypervisor(root, h.name) for h in FLEET.hosts}
        fencing = ProcessFencing(root)
        power = PowerReader(self.sql.evidence, fencing)
        self.state = InstanceStateActivities(self.sql.store, fencing, power=power)
        self.fencing = FencingActivities(self.sql.evidence, fencing)
        self.capacity = CapacityActivities(self.sql.capacity)
        self.network = NetworkActivities(self.sql.network)
        self.block_devices = BlockDeviceActivities(self.sql.store, self.sql.volumes)
        self.hosts = HostActivities(self.sql.hosts, power)
        self.guest = {name: GuestActivities(driver) for name, driver in self.hypervisors.items()}
        self.volumes = {name: GuestVolumeActivities(driver) for name, driver in self.hypervisors.items()}
        self.instance_id = self.sql.views.resolve_instance("web-01")
        self._answers = root / "answers.pickle"

    @classmethod
    def create(cls, root: Path) -> "World":
        """Two hosts up, web-01 running on cmp-1, then cmp-1 dead."""
        url = f"sqlite:///{root / 'store.db'}"
        migrate(url)
        services = open_services(url)
        services.fleet.load(FLEET)
        ProcessRoot(root).make_disks(each.id for each in services.views.instances())
        services.close()
        for host in FLEET.hosts:
            ProcessHost(root, host.name).power_on()
        world = cls(root)
        for host in FLEET.hosts:
            world.return_host(host.name)
        ProcessHost(root, "cmp-1").power_off(lambda: None)
        return world

    def report(self, host: str) -> m.HostReport:
        driver = self.hypervisors[host]
        return m.HostReport(host=host, guests=driver.inventory(), **driver.identity().model_dump())

    def return_host(self, host: str) -> None:
        report = self.report(host)
        for key in self.sql.hosts.register(report).start:
            at = m.HostGuest(host=host, incarnation=report.incarnation, instance_id=key.instance_id, epoch=key.epoch)
            spec = self.sql.hosts.authorize_start(at)
            state = self.hypervisors[host].spawn(spec, last_look=lambda: None, beat=lambda _: None)
            started = at.model_copy(update={"epoch": spec.epoch})
            self.sql.hosts.record_started(m.RecordStarted(guest=started, power_state=state.power_state))
        self.sql.hosts.complete_return(m.ReturnedHost(host=host, incarnation=report.incarnation))

    @property
    def answers(self) -> dict[str, Any]:
        return pickle.loads(self._answers.read_bytes()) if self._answers.exists() else {}

    def answer(self, step: str) -> Any:
        return self.answers[step]

    def execute(self, step: str) -> Any:
        activity, message = STEPS[step](self)
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, start_to_close_timeout=LONG)
        result = environment.run(activity, message)
        return asyncio.run(result) if asyncio.iscoroutine(result) else result

    def run(self, step: str) -> Any:
        """Execute the step's activity; its answer is kept."""
        answer = self.execute(step)
        self._answers.write_bytes(pickle.dumps(self.answers | {step: answer}))
        return answer

    def snapshot(self) -> dict[str, Any]:
        """All that the store, the hypervisors and the power marks say, without times."""
        views = self.sql.views
        rows = {
            "hosts": views.hosts(),
            "instances": views.instances(),
            "migrations": views.migrations(),
            "actions": views.actions(self.instance_id),
            "allocations": views.allocations(),
            "ports": views.ports(),
            "volumes": views.volumes(),
            "residences": views.residences(),
            "evacuations": views.evacuations(),
        }
        found = {name: [without_times(row.model_dump()) for row in table] for name, table in rows.items()}
        for host, driver in self.hypervisors.items():
            off = ProcessHost(self.root, host).is_off()
            found[host] = ["off"] if off else [guest.model_dump() for guest in driver.inventory()]
        return found

    def ref(self, attempt: int = 1) -> m.AttemptRef:
        return m.AttemptRef(evacuation_id="evacuation-1", owner="run-1", instance_id=self.instance_id, attempt=attempt)

    @property
    def to(self) -> m.Destination:
        return self.answer("claim_capacity")

    def call(self, host: str = "cmp-2") -> m.HostCall:
        return m.HostCall(host=host, hypervisor_uuid=None, incarnation=None)

    def guest_call(self, power_state: PowerState = PowerState.RUNNING) -> m.GuestCall:
        return m.GuestCall(call=self.call(), instance_id=self.instance_id, epoch=self.to.epoch, power_state=power_state)

    def disks(self) -> tuple[m.GuestDisk, ...]:
        devices = self.answer("set_up_block_devices").devices
        return tuple(
            m.GuestDisk(volume_id=d.volume_id, device=d.device, attachment_id=d.attachment_id) for d in devices
        )

    def outcome(self, outcome: Any) -> m.EvacuationOutcome:
        return m.EvacuationOutcome(
            evacuation_id="evacuation-1",
            instance_id=self.instance_id,
            outcome=outcome,
            source="cmp-1",
            started_at=NOW,
            finished_at=NOW,
        )


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not k.endswith("_at")}
    return [without_times(v) for v in value] if isinstance(value, list | tuple) else value


def _fence(world: World, host: str = "cmp-1") -> m.FenceRequest:
    incarnation = ProcessHost(world.root, host).incarnation()
    return m.FenceRequest(host=host, incarnation=incarnation, instance_id=world.instance_id)


def _answer(world: World) -> m.ProbeAnswer:
    """The host that was said to be off."""
    return m.ProbeAnswer(host="cmp-1", incarnation=_fence(world).incarnation or "", in_service=True)


def _begin(world: World) -> m.Begin:
    checked: m.CheckedRequest = world.answer("check_request")
    return m.Begin(
        ref=world.ref(0),
        instance=checked.instance,
        source_incarnation=checked.source_incarnation,
        adopts=None,
        request_id="request-1",
        events=(_event("check_request", 0),),
    )


def _event(name: str, attempt: int) -> m.StepEvent:
    return m.StepEvent(name=name, attempt=attempt, host=None, result="success", started_at=NOW, finished_at=NOW)


def _spawn(world: World) -> m.SpawnGuest:
    instance = world.answer("check_request").instance
    guest = m.GuestSpec(
        instance_id=instance.id,
        name=instance.name,
        epoch=world.to.epoch,
        flavor=instance.flavor,
        root_disk=instance.root_disk,
        power_state=PowerState.RUNNING,
        nics=world.answer("set_up_network").nics,
        disks=world.disks(),
    )
    return m.SpawnGuest(call=world.call(), guest=guest)


def _finish(world: World) -> m.FinishEvacuation:
    return m.FinishEvacuation(
        ref=world.ref(),
        host="cmp-2",
        epoch=world.to.epoch,
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
        outcome=world.outcome("recovered"),
        events=(_event("finish_evacuation", 1),),
    )


def _gone(world: World) -> m.RecordGuestGone:
    evidence = Evidence(
        kind=EvidenceKind.GUEST_GONE, host="cmp-2", incarnation=None, who="cmp-2", reason="destroyed", at=NOW
    )
    return m.RecordGuestGone(ref=world.ref(), evidence=evidence)


def _abandon(world: World) -> m.AbandonEvacuation:
    return m.AbandonEvacuation(
        ref=world.ref(),
        migration_status=MigrationStatus.FAILED,
        vm_state=VmState.ERROR,
        fault=m.Fault(message="cmp-2: no memory", error_type="SpawnFailedError", at=NOW),
        outcome=world.outcome("not_recovered"),
    )


def _registered(world: World) -> m.HostReport:
    ProcessHost(world.root, "cmp-1").power_on()
    return world.report("cmp-1")


def _old_guest(world: World) -> m.GuestCall:
    [key] = world.answer("register_host").destroy
    return m.GuestCall(call=world.call("cmp-1"), instance_id=key.instance_id, epoch=key.epoch)


def _host_guest(world: World) -> m.HostGuest:
    [key] = world.answer("register_host").destroy
    incarnation = ProcessHost(world.root, "cmp-1").incarnation()
    return m.HostGuest(host="cmp-1", incarnation=incarnation, instance_id=key.instance_id, epoch=key.epoch)


def _deleted_guest(world: World) -> m.GuestCall:
    guest = world.answer("plan_deletion").guest
    return m.GuestCall(call=world.call(), instance_id=guest.instance_id, epoch=guest.epoch)


Step = Callable[[World], tuple[Callable[[Any], Any], Any]]

FORWARD: dict[str, Step] = {
    "check_request": lambda w: (
        w.state.check_request,
        m.EvacuationRequest(request_id="request-1", instance_id=w.instance_id),
    ),
    "fence_source": lambda w: (w.fencing.fence_source, _fence(w)),
    "begin_evacuation": lambda w: (w.state.begin_evacuation, _begin(w)),
    "claim_capacity": lambda w: (w.capacity.claim_capacity, m.ClaimCapacity(ref=w.ref(), target=None)),
    "prepare_destination": lambda w: (
        w.guest["cmp-2"].prepare_destination,
        m.PrepareDestination(
            call=w.call(), instance_id=w.instance_id, name="web-01", epoch=w.to.epoch, root_disk="shared"
        ),
    ),
    "record_preparation": lambda w: (
        w.state.record_preparation,
        m.RecordPreparation(ref=w.ref(), connector=w.answer("prepare_destination").connector),
    ),
    "set_up_network": lambda w: (w.network.set_up_network, m.SetUpNetwork(ref=w.ref(), host="cmp-2")),
    "fetch_block_devices": lambda w: (w.block_devices.fetch_block_devices, w.ref()),
    "detach_volumes": lambda w: (
        w.block_devices.detach_volumes,
        m.DetachVolumes(ref=w.ref(), devices=w.answer("fetch_block_devices").devices),
    ),
    "set_up_block_devices": lambda w: (
        w.block_devices.set_up_block_devices,
        m.SetUpBlockDevices(ref=w.ref(), connector=w.answer("prepare_destination").connector),
    ),
    "connect_volumes": lambda w: (
        w.volumes["cmp-2"].connect_volumes,
        m.ConnectVolumes(call=w.call(), instance_id=w.instance_id, epoch=w.to.epoch, disks=w.disks()),
    ),
    "authorize_spawn": lambda w: (
        w.state.authorize_spawn,
        m.AuthorizeSpawn(ref=w.ref(), host="cmp-2", incarnation=w.answer("prepare_destination").connector.incarnation),
    ),
    "spawn_guest": lambda w: (w.guest["cmp-2"].spawn_guest, _spawn(w)),
}
FINISH: dict[str, Step] = {"finish_evacuation": lambda w: (w.state.finish_evacuation, _finish(w))}
BACK: dict[str, Step] = {
    "call_off_attempt": lambda w: (w.state.call_off_attempt, w.ref()),
    "settle_guest": lambda w: (w.guest["cmp-2"].settle_guest, w.guest_call(PowerState.SHUTDOWN)),
    "record_guest_gone": lambda w: (w.state.record_guest_gone, _gone(w)),
    "disconnect_volumes": lambda w: (w.volumes["cmp-2"].disconnect_volumes, w.guest_call()),
    "tear_down_block_devices": lambda w: (w.block_devices.tear_down_block_devices, m.Undo(ref=w.ref())),
    "tear_down_network": lambda w: (w.network.tear_down_network, m.Undo(ref=w.ref())),
    "release_capacity": lambda w: (w.capacity.release_capacity, m.Undo(ref=w.ref())),
    "abandon_evacuation": lambda w: (w.state.abandon_evacuation, _abandon(w)),
}
RETURN: dict[str, Step] = {
    "register_host": lambda w: (w.hosts.register_host, _registered(w)),
    "destroy_guest": lambda w: (w.guest["cmp-1"].destroy_guest, _old_guest(w)),
    "record_destroyed": lambda w: (w.hosts.record_destroyed, _host_guest(w)),
    "complete_return": lambda w: (
        w.hosts.complete_return,
        m.ReturnedHost(host="cmp-1", incarnation=ProcessHost(w.root, "cmp-1").incarnation()),
    ),
}
DELETION: dict[str, Step] = {
    "plan_deletion": lambda w: (w.hosts.plan_deletion, m.InstanceRef(instance_id=w.instance_id)),
    "destroy_deleted_guest": lambda w: (w.guest["cmp-2"].destroy_guest, _deleted_guest(w)),
    "record_deleted": lambda w: (
        w.hosts.record_deleted,
        m.RecordDeleted(instance_id=w.instance_id, guest=w.answer("plan_deletion").guest),
    ),
}


def _accept(world: "World") -> m.AcceptIdentity:
    """Another board is cmp-1, as a person asks who has seen the old one in the store."""
    power = ProcessHost(world.root, "cmp-1").power()
    old = Identity(hypervisor_uuid=power.hypervisor_uuid, machine_id=machine_id())
    return m.AcceptIdentity(
        host="cmp-1",
        known=old,
        incarnation=power.incarnation,
        found=old.model_copy(update={"hypervisor_uuid": "another-board"}),
        found_incarnation="another-boot",
        statement="swapped",
        who="jo",
    )


ANSWER: dict[str, Step] = {"record_answer": lambda w: (w.fencing.record_answer, _answer(w))}
PERSON: dict[str, Step] = {
    "take_word": lambda w: (w.fencing.take_word, _fence(w).model_copy(update={"statement": "seen", "who": "jo"})),
    "cut_power": lambda w: (w.fencing.cut_power, _fence(w, "cmp-2")),
    "accept_identity": lambda w: (w.fencing.accept_identity, _accept(w)),
}
STEPS = FORWARD | FINISH | BACK | RETURN | DELETION | ANSWER | PERSON
STORIES = {
    "recovered": [*FORWARD, *FINISH],
    "unwound": [*FORWARD, *BACK],
    "source-returns": [*FORWARD, *FINISH, *RETURN],
    "deleted": [*FORWARD, *FINISH, *DELETION],
    "answered": ["check_request", "fence_source", *ANSWER],
    "proven-by-a-person": [*PERSON],
}


def run_and_die(root: Path, step: str) -> None:
    """Killed between the step's effect and its answer."""
    World(root).execute(step)
    os.kill(os.getpid(), signal.SIGKILL)
