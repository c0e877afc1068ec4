"""The store's services with the activities over them, and hosts in memory; any process may die at any call."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
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
from evacuation.errors import EvacuateError
from evacuation.invariants import World
from evacuation.model import Evidence, EvidenceKind
from services.sql import SqlServices
from tests.machines.fleet import NOW
from tests.machines.metal import Boot, Metal

Activity = Callable[[Any], Any]
Told = tuple[str, str | None, Any]
"""An activity's name, the host whose queue it is on, and the message."""

LONG = timedelta(minutes=1)
"""Until when an execution is waited for."""


class Died(Exception):
    """The process that executed the call is gone: nobody hears an answer."""


class Silent(Exception):
    """Nobody serves the host's queue: the call was not begun."""


class Fuse:
    """Burns down with every call to a service, once before it and once after it."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Died


class Fragile:
    """A service, seen from a process that may die."""

    def __init__(self, service: object, fuse: Fuse) -> None:
        self._service = service
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._service, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.burn()
            answer = found(*args, **kwargs)
            self._fuse.burn()
            return answer

        return call


class Cloud:
    """`tell` is one execution of an activity. What was ever told is kept: it may be executed once more, late."""

    def __init__(self, services: SqlServices, metal: Metal) -> None:
        self.services = services
        self.metal = metal
        self.fuse = Fuse()
        self.told: list[Told] = []
        self.frozen: list[Told] = []
        """Calls whose process stopped before the effect, and may go on."""
        self.known_alive: set[tuple[str, str | None]] = set()
        """Boots that run, and that the store was told of after it had last heard that they are off."""
        self.before_registering: Callable[[], None] = lambda: None
        """What was proven is looked at before a host says that it lives, and not only after it."""
        self._environment = ActivityEnvironment()
        self._environment.info = replace(self._environment.info, start_to_close_timeout=LONG)
        self._control = self._activities()

    def _activities(self) -> dict[str, Activity]:
        def fragile(service: object) -> Any:
            return Fragile(service, self.fuse)

        sql, power = self.services, fragile(self.metal)
        reader = PowerReader(fragile(sql.evidence), power)
        groups = (
            InstanceStateActivities(fragile(sql.store), power, power=reader),
            FencingActivities(fragile(sql.evidence), power),
            CapacityActivities(fragile(sql.capacity)),
            NetworkActivities(fragile(sql.network)),
            BlockDeviceActivities(fragile(sql.store), fragile(sql.volumes)),
            HostActivities(fragile(sql.hosts), reader),
        )
        return {activity.__name__: activity for group in groups for activity in group.all}

    def tell(self, name: str, message: Any, *, host: str | None = None, fuse: int | None = None) -> Any:
        """Raises EvacuateError, Died, Silent."""
        activity = self._control[name] if host is None else self._on(host)[name]
        if name == "register_host":
            self.before_registering()
        self.told.append((name, host, message))
        if fuse is not None:
            self.fuse.left = fuse
        if fuse == 0:
            self.frozen.append(self.told[-1])
        try:
            answer = self._environment.run(activity, message)
        finally:
            if fuse is not None:
                self.fuse.left = None
        self._learn(name, message)
        return answer

    def tell_late(self, told: Told) -> None:
        """What nobody waits for any more is executed all the same, if its process still lives."""
        name, host, message = told
        try:
            self.tell(name, message, host=host)
        except (EvacuateError, Silent):
            return

    def _on(self, host: str) -> dict[str, Activity]:
        if host not in self.metal.serving:
            raise Silent
        return self.on_boot(self.metal.on[host])

    def on_boot(self, boot: Boot) -> dict[str, Activity]:
        """The activities of a host's worker. The last look finds somebody waiting, also when nobody does."""
        fragile: Any = Fragile(boot, self.fuse)
        guest, volumes = GuestActivities(fragile, lambda: None), GuestVolumeActivities(fragile)
        return {activity.__name__: activity for activity in (*guest.all, *guest.for_return, *volumes.all)}

    def _learn(self, name: str, message: Any) -> None:
        if name == "register_host" and self.metal.is_alive(message.host, message.incarnation):
            self.known_alive.add((message.host, message.incarnation))

    def say_off(self, host: str, incarnation: str | None) -> None:
        """An operator's word."""
        self.known_alive.discard((host, incarnation))
        self.services.evidence.record_evidence(
            Evidence(
                kind=EvidenceKind.OPERATOR, host=host, incarnation=incarnation, who="somebody", reason="saw it", at=NOW
            )
        )

    def return_host(self, host: str, *, fuse: int | None = None) -> bool:
        """As the workflow does it, up to where its process dies. True: the host serves."""
        self.fuse.left = fuse
        try:
            return self._return(host)
        except Died:
            return False
        finally:
            self.fuse.left = None

    def _return(self, host: str) -> bool:
        boot, report = self.metal.on[host], self.metal.report(host)
        here, plan = self.on_boot(boot), self.tell("register_host", report)
        for key in plan.quarantine:
            self._environment.run(here["pause_guest"], self._call(report, key))
        for key in plan.destroy:
            self._environment.run(here["destroy_guest"], self._call(report, key))
            self.tell("record_destroyed", _guest(report, key))
        if plan.held_by:
            return False
        for key in plan.start:
            self._start(report, key, here)
        try:
            self.tell("complete_return", m.ReturnedHost(host=host, incarnation=boot.incarnation))
        except EvacuateError:
            return False
        self.metal.serving.add(host)
        return True

    def _start(self, report: m.HostReport, key: m.GuestKey, here: dict[str, Activity]) -> None:
        try:
            spec = self.tell("authorize_start", _guest(report, key))
        except EvacuateError:
            return
        state = self._environment.run(here["start_guest"], m.SpawnGuest(call=_call_to(report), guest=spec))
        guest = _guest(report, key).model_copy(update={"epoch": spec.epoch})
        self.tell("record_started", m.RecordStarted(guest=guest, power_state=state.power_state))

    def _call(self, report: m.HostReport, key: m.GuestKey) -> m.GuestCall:
        return m.GuestCall(call=_call_to(report), instance_id=key.instance_id, epoch=key.epoch)

    def world(self, *, guests: bool = True) -> World:
        """What `check` would see; not whether workflows run."""
        rows, metal = self.services.views.everything(), self.metal
        if not guests:
            return World(rows=rows)
        return World(rows=rows, guests=tuple(metal.guests()), boots=metal.boots())


def _call_to(report: m.HostReport) -> m.HostCall:
    return m.HostCall(host=report.host, hypervisor_uuid=report.hypervisor_uuid, incarnation=report.incarnation)


def _guest(report: m.HostReport, key: m.GuestKey) -> m.HostGuest:
    return m.HostGuest(host=report.host, incarnation=report.incarnation, instance_id=key.instance_id, epoch=key.epoch)
