"""A fleet gets into a store, and its hosts and names into the state directory beside it."""

from embedded.hosts import boot_hosts
from embedded.state import StateDir
from embedded.subjects import write_names
from evacuation.fleet import Fleet
from evacuation.model import VmState
from services.drivers import HYPERVISORS
from services.runtime.settings import Settings
from services.sql import SqlServices


def load(settings: Settings, services: SqlServices, fleet: Fleet) -> None:
    """Raises FleetError when another fleet is there."""
    services.fleet.load(fleet)
    settle(settings, services)


def settle(settings: Settings, services: SqlServices) -> None:
    """The hosts of the store have power, unless they are machines, and the disks of its instances are made; its
    instances' names are known to the faults."""
    write_names(StateDir(settings.state_dir).names, {each.id: each.name for each in services.views.instances()})
    driver = HYPERVISORS[settings.hypervisor]()
    driver.make_disks(settings, _new(services))
    if not driver.has_machines:
        boot_hosts(settings.state_dir, [host.name for host in services.views.hosts()])


def _new(services: SqlServices) -> list[str]:
    """No guest of theirs was ever started: whose disk is missing later has lost it, and is given no other."""
    known = {each.instance_id for each in services.views.residences() if each.incarnation is not None}
    return [each.id for each in services.views.instances() if each.id not in known and each.vm_state != VmState.DELETED]
