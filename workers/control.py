"""The control worker: workflows, and the activities of the store and of the services around it."""

import structlog

from activities.block_devices import BlockDeviceActivities
from activities.capacity import CapacityActivities
from activities.fencing import FencingActivities
from activities.hosts import HostActivities
from activities.instance_state import InstanceStateActivities
from activities.network import NetworkActivities
from evacuation import names
from services.fencing import fencing_driver
from services.settings import Settings
from services.sql import SqlServices, open_services
from services.volumes import volume_services
from workers.serving import connect_patiently, forever, serving
from workflows.all import ALL

log = structlog.stdlib.get_logger("worker")


async def serve_control(settings: Settings) -> None:
    """Raises StoreUnavailableError, StoreSchemaError."""
    services = open_services(settings.store_url, settings.fencing_policy)
    try:
        await _serve(settings, services)
    finally:
        services.close()


async def _serve(settings: Settings, services: SqlServices) -> None:
    fencing = fencing_driver(
        settings.fencing, settings.state_dir, bmc_file=settings.bmc_file, bmc_timeout=settings.bmc_timeout
    )
    served = volume_services(settings, services)
    policy = settings.fencing_policy
    activities = [
        *InstanceStateActivities(services.store, fencing, policy=policy, storage=served.storage).all,
        *CapacityActivities(services.capacity).all,
        *NetworkActivities(services.network).all,
        *BlockDeviceActivities(services.store, served.volumes).all,
        *FencingActivities(services.evidence, fencing, policy=policy, storage=served.storage).all,
        *HostActivities(served.hosts).all,
    ]
    async with serving(
        await connect_patiently(settings),
        settings,
        queue=names.CONTROL_QUEUE,
        activities=activities,
        workflows=ALL,
        slots=settings.control_activities,
        pollers=settings.control_pollers,
    ):
        log.info("serving", queue=names.CONTROL_QUEUE)
        await forever()
