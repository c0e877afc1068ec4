"""The control worker: workflows, and the activities of the store and of the services around it."""

import asyncio

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.block_devices import BlockDeviceActivities
from activities.capacity import CapacityActivities
from activities.elsewhere import Elsewhere
from activities.fencing import FencingActivities
from activities.hosts import HostActivities
from activities.in_place import InPlaceActivities
from activities.instance_state import InstanceStateActivities
from activities.liveness import LastLook
from activities.network import NetworkActivities
from activities.onlooking import Onlookers
from activities.power import PowerReader
from activities.power_checks import PowerCheckActivities
from activities.sightings import SightingActivities
from evacuation import names
from services.cloud.chosen import VolumeServices
from services.drivers import FENCES, HYPERVISORS, VOLUMES
from services.fencing import FenceOptions
from services.runtime.last_start import LastStart
from services.runtime.settings import Settings
from services.runtime.temporal import namespace_id
from services.sql import SqlServices, open_services
from services.sql.ledger.witnesses import Witnesses
from workers.asking import keep_asking
from workers.finding import SharedFinder
from workers.onlookers import AskingAround
from workers.serving import connect_patiently, serving
from workflows.all import ALL

NAMESPACE_PAUSE = 0.2
log = structlog.stdlib.get_logger("worker")


async def serve_control(settings: Settings) -> None:
    """Raises StoreUnavailableError, StoreSchemaError."""
    services = open_services(settings.store_url, settings.policy, retention=settings.event_retention)
    try:
        await _serve(settings, services)
    finally:
        services.close()


async def _owner(client: Client) -> str:
    """For whom this worker writes; a namespace that is not there yet is waited for."""
    while True:
        try:
            return await namespace_id(client)
        except RPCError as error:
            log.warning("the namespace is not known yet, trying again", cause=error.message)
        await asyncio.sleep(NAMESPACE_PAUSE)


async def _serve(settings: Settings, services: SqlServices) -> None:
    fencing = FENCES[settings.fencing](
        FenceOptions(
            root=settings.state_dir,
            bmc_file=settings.bmc_file,
            bmc_timeout=settings.bmc_timeout,
            identities=services.identities,
        )
    )
    client, witnesses = await connect_patiently(settings), Witnesses(asked=False)
    services.database.serve(await _owner(client), witnesses)
    served = volumes_of(settings, services)
    policy, power = settings.policy, PowerReader(services.evidence, fencing)
    finder = SharedFinder(client, settings, services.ledger.hosts_up)
    elsewhere = Elsewhere(served.hosts.record_look, finder, time_scale=settings.time_scale)
    activities = [
        *InstanceStateActivities(
            services.store,
            fencing,
            power=power,
            policy=policy,
            storage=served.storage,
            last_start=LastStart(client),
            elsewhere=elsewhere,
        ).all,
        *CapacityActivities(services.capacity).all,
        *NetworkActivities(services.network).all,
        *BlockDeviceActivities(services.store, served.volumes).all,
        *FencingActivities(
            services.evidence,
            fencing,
            policy=policy,
            storage=served.storage,
            last_look=LastLook(client, cancelled=True),
            onlookers=Onlookers(services.onlookers, AskingAround(client, settings)),
        ).all,
        *PowerCheckActivities(fencing).all,
        *HostActivities(served.hosts, power, elsewhere).all,
        *InPlaceActivities(served.hosts, elsewhere).all,
        *SightingActivities(served.hosts, power).all,
    ]
    async with serving(
        client,
        settings,
        queue=names.CONTROL_QUEUE,
        activities=activities,
        workflows=ALL,
        slots=settings.control_activities,
        pollers=settings.control_pollers,
    ):
        log.info("serving", queue=names.CONTROL_QUEUE)
        await keep_asking(client, settings, services, witnesses)


def volumes_of(settings: Settings, services: SqlServices) -> VolumeServices:
    """Raises MalformedRequestError."""
    opens_exports = HYPERVISORS[settings.hypervisor]().opens_exports
    return VOLUMES[settings.volumes]().open(settings, services, opens_exports=opens_exports)
