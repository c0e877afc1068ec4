"""The steps of one attempt, in the order of docs/design.md#the-steps. Each registers its undoing first."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from evacuation import messages as m
from evacuation.errors import InstanceDeletedError
from workflows.engine.failures import Failure, failure_of, failure_of_refusal
from workflows.engine.patience import Patience
from workflows.engine.policies import AUTHORIZE, CONTROL, FENCE, SPAWN, WAIT_FOR_CAPACITY
from workflows.engine.steps import Steps, call_to
from workflows.engine.written import write_down
from workflows.evacuating.attempts import NO_HOST
from workflows.evacuating.backward import Backward
from workflows.evacuating.openly import Openly
from workflows.evacuating.state import State

with workflow.unsafe.imports_passed_through():
    from activities.block_devices import BlockDeviceActivities
    from activities.capacity import CapacityActivities
    from activities.fencing import FencingActivities
    from activities.guest import GuestActivities
    from activities.instance_state import InstanceStateActivities
    from activities.network import NetworkActivities
    from activities.volumes import GuestVolumeActivities


class Forward:
    def __init__(self, state: State, steps: Steps, back: Backward) -> None:
        self._state = state
        self._steps = steps
        self._back = back
        self.openly = Openly(state, steps)

    async def fence_source(self) -> None:
        """Current evidence about the source's incarnation, shared by all evacuations from it."""
        facts, request = self._state.facts, self._state.request
        self._steps.display.enter("fencing")
        self._state.evidence = await self._steps.control(
            FencingActivities.fence_source,
            m.FenceRequest(
                host=facts.instance.source,
                incarnation=facts.source_incarnation,
                instance_id=facts.instance.id,
                statement=request.source_confirmed_off,
                who=request.requested_by,
            ),
            policy=FENCE,
            about=f"prove {facts.instance.source} off",
        )
        if workflow.cancellation_reason() is not None:
            # The fence is waited for, so that its end is known; the cancel that came meanwhile still counts.
            raise asyncio.CancelledError

    async def claim_capacity(self, excluded: dict[str, str]) -> m.Destination:
        """With `wait_for_capacity`, "no host" is waited for until the deadline, when it is asked for once more: the
        last wait between two tries would outlast it, and the server gives up before."""
        state, display = self._state, self._steps.display
        display.enter("evacuating")
        self._back.can_undo("release_capacity")
        to = await self.openly.until_pardoned(lambda: self._claim_in_time(excluded))
        state.to, display.destination = to, to.host
        display.enter("evacuating")
        display.publish()
        return to

    async def _claim_in_time(self, excluded: dict[str, str]) -> m.Destination:
        try:
            return await self._claim(excluded, self._time_to_wait())
        except ActivityError as error:
            left = self._time_to_wait()
            if left is None or failure_of(error).type not in NO_HOST:
                raise
            await workflow.sleep(left)
            return await self._claim(excluded, None)

    async def _claim(self, excluded: dict[str, str], left: timedelta | None) -> m.Destination:
        state = self._state
        return await self._steps.control(
            CapacityActivities.claim_capacity,
            m.ClaimCapacity(ref=state.ref, target=state.request.target, excluded=excluded, wait=left is not None),
            policy=WAIT_FOR_CAPACITY if left is not None else CONTROL,
            deadline=left,
            about=f"choose a host for {state.name}",
        )

    def _time_to_wait(self) -> timedelta | None:
        waits = self._state.request.wait_for_capacity
        left = waits - (workflow.now() - workflow.info().start_time) if waits is not None else timedelta(0)
        return left if left > timedelta(0) else None

    async def prepare_destination(self, to: m.Destination) -> m.Connector:
        """The destination itself says whether it can take the guest, and which boot of it answers."""
        message = m.PrepareDestination(
            call=call_to(to),
            instance_id=self._state.ref.instance_id,
            name=self._state.name,
            epoch=to.epoch,
            root_disk=self._state.facts.instance.root_disk,
            defined=self._state.facts.instance.defined,
            files=self._state.facts.instance.files,
        )
        prepared = await self._steps.on_host(
            GuestActivities.prepare_destination,
            message,
            to=to,
            about=f"can {to.host} take {self._state.name}?",
            over=self._over,
        )
        connector = prepared.connector
        self._state.to = to.model_copy(update={"incarnation": connector.incarnation})
        return connector

    async def record_preparation(self, connector: m.Connector) -> None:
        """The source must be proven off by now: what follows takes things from the instance."""
        await self._steps.control(
            InstanceStateActivities.record_preparation,
            m.RecordPreparation(ref=self._state.ref, connector=connector, events=self._steps.events),
            policy=CONTROL,
            about="record the preparation",
        )

    async def set_up_network(self, to: m.Destination) -> tuple[m.Nic, ...]:
        """Each port is bound to the destination; its guest's interfaces as the service has them afterwards."""
        self._back.can_undo("tear_down_network")
        info = await self._steps.control(
            NetworkActivities.set_up_network,
            m.SetUpNetwork(ref=self._state.ref, host=to.host),
            policy=CONTROL,
            about=f"bind ports to {to.host}",
        )
        return info.nics

    async def fetch_block_devices(self) -> tuple[m.BlockDevice, ...]:
        """With them the definition that the guest is brought up from."""
        found = await self._steps.control(
            BlockDeviceActivities.fetch_block_devices,
            self._state.ref,
            policy=CONTROL,
            about="fetch block device mappings",
        )
        self._state.stored = found.stored
        return found.devices

    async def detach_volumes(self, devices: tuple[m.BlockDevice, ...]) -> None:
        """Taken from the source; none of them is free for anybody else on the way."""
        self._back.can_undo("tear_down_block_devices")
        await self._steps.control(
            BlockDeviceActivities.detach_volumes,
            m.DetachVolumes(ref=self._state.ref, devices=devices),
            policy=CONTROL,
            about=f"detach volumes from {self._state.facts.instance.source}",
        )

    async def set_up_block_devices(self, connector: m.Connector) -> tuple[m.GuestDisk, ...]:
        """They are attached to the destination: its guest's disks, each with the place where that host finds it."""
        ready = await self._steps.control(
            BlockDeviceActivities.set_up_block_devices,
            m.SetUpBlockDevices(ref=self._state.ref, connector=connector),
            policy=CONTROL,
            about=f"attach volumes to {connector.host}",
        )
        return tuple(
            m.GuestDisk(volume_id=d.volume_id, device=d.device, attachment_id=d.attachment_id or "", target=d.target)
            for d in ready.devices
        )

    async def connect_volumes(self, to: m.Destination, disks: tuple[m.GuestDisk, ...]) -> None:
        """The destination sees the volumes."""
        self._back.can_undo("disconnect_volumes")
        await self._steps.on_host(
            GuestVolumeActivities.connect_volumes,
            m.ConnectVolumes(call=call_to(to), instance_id=self._state.ref.instance_id, epoch=to.epoch, disks=disks),
            to=to,
            about=f"connect volumes on {to.host}",
            over=self._over,
        )

    async def authorize_spawn(self, connector: m.Connector) -> None:
        """Every other place where the guest could run is proven empty, in one transaction. A destination whose cap is
        reached is waited for."""
        self._state.asked_to_authorize = True
        about = f"authorise {self._state.name} on {connector.host}"
        patience = Patience(self._steps, self._claimed, about, over=self._over)
        while True:
            message = m.AuthorizeSpawn(
                ref=self._state.ref,
                host=connector.host,
                incarnation=connector.incarnation,
                since=self._state.evidence.at if self._state.evidence else None,
                witnessed=tuple(self._steps.witnessed.values()),
                events=self._steps.events,
            )
            try:
                authorized = await self._steps.control(
                    InstanceStateActivities.authorize_spawn, message, policy=AUTHORIZE, about=about
                )
                self._write_down(authorized)
                return patience.over()
            except ActivityError as error:
                await patience.bear_full(error)

    def _write_down(self, authorized: m.Authorized) -> None:
        """Here, and on the host with the next call."""
        to = self._claimed.model_copy(update={"ledger": authorized.ledger})
        self._state.to = to
        write_down(authorized.ledger, authorized.epoch, to.host, to.incarnation)

    def _over(self) -> Failure | None:
        """Why no host is waited for any more. A cancel of a call whose end is waited for shows only here, where that
        call ends otherwise."""
        if self._state.deleted:
            return failure_of_refusal(InstanceDeletedError("the instance was deleted meanwhile"))
        return failure_of(asyncio.CancelledError()) if workflow.cancellation_reason() is not None else None

    @property
    def _claimed(self) -> m.Destination:
        if self._state.to is None:
            raise RuntimeError("no destination is claimed")
        return self._state.to

    async def spawn_guest(self, nics: tuple[m.Nic, ...], disks: tuple[m.GuestDisk, ...]) -> m.GuestState:
        """Its completion is the guest's start in history."""
        instance, to = self._state.facts.instance, self._claimed
        guest = m.GuestSpec(
            instance_id=instance.id,
            name=instance.name,
            epoch=to.epoch,
            flavor=instance.flavor,
            root_disk=instance.root_disk,
            power_state=self._state.power_state,
            nics=nics,
            disks=disks,
            definition=self._state.stored.definition,
            signal=self._state.stored.signal,
        )
        return await self._steps.on_host(
            GuestActivities.spawn_guest,
            m.SpawnGuest(call=call_to(to), guest=guest),
            to=to,
            policy=replace(SPAWN),
            about=f"spawn {instance.name} on {to.host}",
            over=self._over,
        )
